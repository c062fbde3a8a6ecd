"""Write what was measured as one HTML file that needs nothing else.

The rule kept here: three readers. A doctor reads the beginning, a reviewer the tables with what noise itself would give, an
engineer the JSON beside it. The beginning says that statistics are not security, and where security comes from.
"""

from __future__ import annotations

from typing import Final

from firmware_tools.evaluation import studies, tables
from firmware_tools.evaluation.findings import Findings, Topic
from firmware_tools.evaluation.page import bullets, figure, page, table

_LEAD: Final = """\
<p><strong>In plain words.</strong> An enciphered image should look like the noise of an untuned television: no outline, no
pattern, nothing of the patient. The figures below say how close to such noise the cipher images are, and whether the deciphered
image is the original, sample for sample.</p>
<div class="warning"><p><strong>Statistics are not security.</strong> The tests that papers on image ciphers run do not tell a
good cipher from a bad one: AES does in them as noise does, and so do many ciphers that are broken in seconds. The section on
attacks breaks the papers' own scheme with a handful of images.</p>
<p><strong>Where security comes from.</strong> What protects an image in this product is standard cryptography around the cipher
image: AES-256-GCM under a key of its own, RSA-OAEP for the hospital, and the device's Ed25519 signature, which is checked
before anything is opened. The chaotic cipher lies inside of that; nothing depends on it, and it adds no security.</p></div>"""


def as_html(findings: Findings) -> str:
    """Return the report as one HTML file."""
    left_out = findings.left_out

    def drawn(topic: Topic) -> str:
        return "".join(figure(each.caption, each.png) for each in findings.pictures if each.topic is topic)

    times = ("How long it takes", studies.speeds(findings.speeds) + drawn(Topic.SPEED))
    made = ("How this was made", table(("what", "which"), list(findings.made.items())))
    if findings.speeds and not findings.measured:
        return page(findings.title, "<p>Only times were measured.</p>", [times, made])
    sections = [
        ("At a glance", bullets(tables.glance(findings))),
        ("Pictures", drawn(Topic.IMAGES)),
        ("What each way does to the images", tables.by_way(findings.measured) + tables.by_kind(findings.measured)),
        ("Neighbouring samples", tables.correlations(findings.measured)),
        ("One pixel, one bit", tables.changes(findings)),
        ("Beside published ciphers", studies.published(findings)),
        ("How many keys there are", studies.key_spaces(findings.key_spaces)),
        ("Attacks, run for this report", studies.attacks(findings.attacks)),
        ("The chaotic maps of these images", studies.maps(findings) + drawn(Topic.MAPS)),
        ("Noise and cropping: not a property of the product", studies.damaged(findings.damaged) + drawn(Topic.DAMAGE)),
        ("NIST SP 800-22", studies.randomness(findings.randomness)),
        times,
        ("Image by image", tables.by_image(findings.measured)),
        ("What was left out", table(("file", "why"), left_out) if left_out else "<p>Nothing.</p>"),
        made,
    ]
    return page(findings.title, _LEAD, sections)
