"""Turn what went wrong between this machine and the broker into one of the package's errors, in words a person can use.

No text here carries a topic, a payload or a file name; what OpenSSL and the operating system say is passed on.
"""

from __future__ import annotations

import socket
import ssl

from edge.errors import BrokerRefused, BrokerUnreachable, CertificateRefused, ConfigError, TransportError
from edge.transport.base import BrokerSettings

# Reason codes by which a broker says "not now" and not "not you" (MQTT 5, table 3-1 and section 3.14.2.1).
_NOT_NOW = frozenset(
    {
        "Server unavailable",
        "Server busy",
        "Server shutting down",
        "Use another server",
        "Server moved",
        "Connection rate exceeded",
        "Keep alive timeout",
    }
)

# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_CLOCK_CODES = frozenset({9, 10})


def tls_context(settings: BrokerSettings) -> ssl.SSLContext | None:
    """Build the TLS context that the settings name, from their files as they are now; None for a plain connection.

    TLS is 1.2 or newer and the broker's host name is always checked. Without `ca_file` the system's CAs are trusted.

    Raises:
        ConfigError: A file cannot be read or is not what it should be.
    """
    if not settings.address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigError("the broker's CA file cannot be used", hint="check [broker] ca_file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 adds the strict profile of RFC 5280, which refuses chains that many a hospital's own CA has issued (no
    # authority key identifier). Signature, validity and host name are checked all the same, on every Python alike.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.cert_file is not None:
        try:
            # An empty password instead of a prompt: a service has no terminal to ask at.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(
                "the client certificate or its key cannot be used",
                hint="check [broker] cert_file and key_file; the key must not be encrypted",
            ) from error
    return context


def read_password(settings: BrokerSettings) -> str | None:
    """Return the content of the password file without its last line end; None where none is set.

    Raises:
        ConfigError: The file cannot be read as text.
    """
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise ConfigError("the broker's password file cannot be read", hint="check [broker] password_file") from error


def explain_dialling(error: OSError | ValueError, *, tls: bool) -> TransportError:
    """Say why no connection came about, from what the socket or the TLS handshake raised."""
    # A listener that knows no TLS resets the connection in the middle of the handshake.
    if isinstance(error, ssl.SSLError) or (tls and isinstance(error, ConnectionResetError | BrokenPipeError)):
        return _explain_handshake(error)
    match error:
        case socket.gaierror() | UnicodeError():
            reason = "the broker's host name cannot be resolved"
        case TimeoutError():
            reason = "the broker does not answer in time"
        case ConnectionRefusedError():
            reason = "nothing listens at the broker's address"
        case OSError():
            reason = f"the broker cannot be reached: {error.strerror or 'the connection broke'}"
        case _:
            reason = "the broker's address cannot be used"
    return BrokerUnreachable(reason)


def _explain_handshake(error: OSError) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = ""
        if error.verify_code in _CLOCK_CODES:
            hint = "check the clock of this machine, and the certificate's dates"
        return CertificateRefused(f"the broker's certificate is not accepted: {error.verify_message}", hint=hint)
    if _is_alert(str(error)):
        return BrokerRefused("the broker refused the TLS handshake: it asks for a client certificate, or for another")
    return BrokerUnreachable(
        "the broker does not answer in TLS on this port",
        hint="check the port, and whether the address should be mqtt:// and not mqtts://",
    )


def explain_refusal(reason: str) -> TransportError:
    """Say why the broker turned the client down or sent it away, from its reason code's name."""
    kind = BrokerUnreachable if reason in _NOT_NOW else BrokerRefused
    return kind(f"the broker refused the connection: {reason.lower()}")


def explain_silence(*, tls: bool, complaint: str) -> TransportError:
    """Say why a connection ended before the broker accepted it; `complaint` is what the socket said last, if anything.

    With TLS 1.3 a broker refuses a client certificate only after the client believes the handshake to be over
    (RFC 8446, section 4.4.2.4), so that refusal arrives here.
    """
    if tls and _is_alert(complaint):
        return BrokerRefused("the broker refused the client certificate, or asks for one")
    return BrokerUnreachable("the broker ended the connection before accepting it")


def _is_alert(text: str) -> bool:
    return "alert" in text.lower()
