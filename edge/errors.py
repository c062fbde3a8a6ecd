"""Every error this package raises, in one tree; each class carries its exit code and whether a retry can help.

    EdgeError
    |-- ConfigError                 the configuration cannot be used
    |-- KeyringError                a key or a trust entry cannot be used
    |-- UsageError                  the command line asks for something impossible
    |-- IntakeError                 a file cannot become an image to carry
    |   |-- EmptyFile, IncompleteFile, VanishedFile, ChangedWhileRead      (a later look can help)
    |   |-- UnreadableFile, FileTooLarge
    |   `-- PixelsUnavailable       the file's exact bytes are carried instead
    |-- ModelError                  the parameter network cannot be used
    |   |-- RuntimeMissing, ModelMissing, ModelRefused, ModelFailed
    |-- CipherError                 the chaotic image cipher refuses its input
    |   |-- ParametersOutOfRange, MalformedKeyFile, CipherProofFailed
    |-- EnvelopeError               a sealed image is refused
    |   |-- MalformedEnvelope, TruncatedEnvelope, UnsupportedEnvelope
    |   |-- UnknownSigner, WrongAudience, BadSignature, NotARecipient, OpeningFailed
    |   `-- ReplayedEnvelope
    |-- ReceiptError                a receipt is refused; the spool is untouched
    |   |-- ForgedReceipt, MismatchedReceipt
    |-- TransportError              the broker cannot be used now (a retry can help)
    |   |-- NotConnected, BrokerUnreachable, BrokerRefused, MessageTooLarge
    |   `-- CertificateRefused
    |-- StorageError                the disk, or the machine, cannot be used now (a retry can help)
    |   |-- SpoolFull, StoreFull
    |   |-- DiskFull, DiskReadOnly, DiskFailing
    |   |-- TooManyOpenFiles, WorkerUnavailable
    |   `-- LedgerCorrupt
    |-- AlreadyRunning              another process holds the state directory
    `-- NotDelivered                --once ended with images that did not arrive

The loops know one rule: `retryable` means wait and keep; anything else means quarantine and go on.

Messages never contain a file name, a path, or a value read from an image: they may reach a log.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of all commands (documented in the README)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NOT_DELIVERED = 3
    CONFIG = 4
    KEYS = 5
    INPUT = 6
    REFUSED = 7
    TRANSPORT = 8
    STORAGE = 9
    MODEL = 10
    BUSY = 11
    STUCK = 12
    INTERRUPTED = 130


class EdgeError(Exception):
    """The root: a plain sentence, an optional hint that says what to do, and how a loop or a shell should treat it."""

    exit_code: ExitCode = ExitCode.INTERNAL
    retryable: bool = False
    default_hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint

    @property
    def code(self) -> str:
        """The error's stable name in kebab case, e.g. ``unknown-signer``: what logs, ledgers and receipts carry."""
        name = type(self).__name__
        return "".join(f"-{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


class ConfigError(EdgeError):
    exit_code = ExitCode.CONFIG


class KeyringError(EdgeError):
    exit_code = ExitCode.KEYS


class UsageError(EdgeError):
    exit_code = ExitCode.USAGE


# --- intake ---------------------------------------------------------------------------------------------------------


class IntakeError(EdgeError):
    exit_code = ExitCode.INPUT


class EmptyFile(IntakeError):
    retryable = True
    default_hint = "the scanner may still be writing it; if not, export the image again"


class IncompleteFile(IntakeError):
    retryable = True
    default_hint = "the file ends before its format says it does; export the image again if it stays so"


class VanishedFile(IntakeError):
    retryable = True
    default_hint = "it was removed or renamed before it could be read"


class ChangedWhileRead(IntakeError):
    retryable = True
    default_hint = "it is looked at again once it is still"


class UnreadableFile(IntakeError):
    retryable = True
    default_hint = "check the owner and the mode of the scanner's folder"


class FileTooLarge(IntakeError):
    default_hint = "raise limits.image_bytes on the device and at the receiver"


class PixelsUnavailable(IntakeError):
    default_hint = "the image is carried as its exact bytes instead (domain = file)"


# --- model ----------------------------------------------------------------------------------------------------------


class ModelError(EdgeError):
    exit_code = ExitCode.MODEL


class RuntimeMissing(ModelError):
    default_hint = "install ai-edge-litert, or tflite-runtime where that is all the board has"


class ModelMissing(ModelError):
    default_hint = "reinstall the package, or train the networks with: edge-firmware train"


class ModelRefused(ModelError):
    default_hint = "the file is not the one its manifest names; reinstall the package"


class ModelFailed(ModelError):
    pass


# --- cipher ---------------------------------------------------------------------------------------------------------


class CipherError(EdgeError):
    exit_code = ExitCode.REFUSED


class ParametersOutOfRange(CipherError):
    pass


class MalformedKeyFile(CipherError):
    pass


class CipherProofFailed(CipherError):
    """The cipher image did not decipher to the plain image on the device itself: nothing is spooled."""

    retryable = True


# --- envelope -------------------------------------------------------------------------------------------------------


class EnvelopeError(EdgeError):
    exit_code = ExitCode.REFUSED


class MalformedEnvelope(EnvelopeError):
    pass


class TruncatedEnvelope(MalformedEnvelope):
    pass


class UnsupportedEnvelope(EnvelopeError):
    pass


class UnknownSigner(EnvelopeError):
    default_hint = "enrol the device: put its public key into the receiver's trust directory"


class WrongAudience(EnvelopeError):
    default_hint = "it was sealed for another receiver"


class BadSignature(EnvelopeError):
    pass


class NotARecipient(EnvelopeError):
    default_hint = "none of this receiver's keys is among the recipients"


class OpeningFailed(EnvelopeError):
    """The one opaque error for everything that depends on a secret."""

    def __init__(self) -> None:
        super().__init__("the sealed image cannot be opened")


class ReplayedEnvelope(EnvelopeError):
    pass


# --- receipt --------------------------------------------------------------------------------------------------------


class ReceiptError(EdgeError):
    exit_code = ExitCode.REFUSED


class ForgedReceipt(ReceiptError):
    default_hint = "only a receipt signed by a trusted receiver frees the spool"


class MismatchedReceipt(ReceiptError):
    pass


# --- transport ------------------------------------------------------------------------------------------------------


class TransportError(EdgeError):
    exit_code = ExitCode.TRANSPORT
    retryable = True


class NotConnected(TransportError):
    pass


class BrokerUnreachable(TransportError):
    default_hint = "check the broker's address, that it runs, and that no firewall is between"


class BrokerRefused(TransportError):
    default_hint = "check the user name, the password or the client certificate"


class CertificateRefused(TransportError):
    default_hint = "check [broker] ca_file: it must hold the CA that signed the broker's certificate"


class MessageTooLarge(TransportError):
    retryable = False
    default_hint = "lower transfer.chunk_size, or raise the broker's maximum packet size"


# --- storage --------------------------------------------------------------------------------------------------------


class StorageError(EdgeError):
    exit_code = ExitCode.STORAGE
    retryable = True


class SpoolFull(StorageError):
    default_hint = "no image is lost: intake waits until receipts free the spool; check the connection to the hospital"


class StoreFull(StorageError):
    default_hint = "free space in the receiver's store; the devices keep their images until then"


class DiskFull(StorageError):
    default_hint = "free space on it; nothing is lost, the work goes on once there is room"


class DiskReadOnly(StorageError):
    default_hint = "Linux turns it so after a disk error: see the kernel's log"


class DiskFailing(StorageError):
    default_hint = "the card or the disk may be failing: see the kernel's log"


class TooManyOpenFiles(StorageError):
    default_hint = "raise LimitNOFILE of the service; the work goes on once files are closed"


class WorkerUnavailable(StorageError):
    default_hint = "the machine has no memory or no process to spare; the work goes on once it has"


class LedgerCorrupt(StorageError):
    retryable = False


class AlreadyRunning(EdgeError):
    exit_code = ExitCode.BUSY
    default_hint = "stop the other process, or give this one its own --state directory"


class NotDelivered(EdgeError):
    exit_code = ExitCode.NOT_DELIVERED
    default_hint = "edge-encryptor queue lists each of them with its reason"
