"""OpenFlow error messages in words.

Source: OpenFlow Switch Specification 1.5.1, section 7.5.4; the Nicira codes as ovs-ofctl 3.1 prints them.
"""

import struct
from typing import Final, NamedTuple

_NICIRA: Final = 0x0000_2320
_EXPERIMENTER: Final = 0xFFFF

# Type → (what was refused, prefix of the code's name, names of the codes from 0 on).
_TYPES: Final[dict[int, tuple[str, str, str]]] = {
    0: ("hello", "OFPHFC", "INCOMPATIBLE EPERM"),
    1: (
        "request",
        "OFPBRC",
        "BAD_VERSION BAD_TYPE BAD_MULTIPART BAD_EXPERIMENTER BAD_EXP_TYPE EPERM BAD_LEN BUFFER_EMPTY BUFFER_UNKNOWN "
        "BAD_TABLE_ID IS_SECONDARY BAD_PORT BAD_PACKET MULTIPART_BUFFER_OVERFLOW MULTIPART_REQUEST_TIMEOUT "
        "MULTIPART_REPLY_TIMEOUT MULTIPART_BAD_SCHED PIPELINE_FIELDS_ONLY UNKNOWN",
    ),
    2: (
        "action",
        "OFPBAC",
        "BAD_TYPE BAD_LEN BAD_EXPERIMENTER BAD_EXP_TYPE BAD_OUT_PORT BAD_ARGUMENT EPERM TOO_MANY BAD_QUEUE "
        "BAD_OUT_GROUP MATCH_INCONSISTENT UNSUPPORTED_ORDER BAD_TAG BAD_SET_TYPE BAD_SET_LEN BAD_SET_ARGUMENT "
        "BAD_SET_MASK BAD_METER",
    ),
    3: (
        "instruction",
        "OFPBIC",
        "UNKNOWN_INST UNSUP_INST BAD_TABLE_ID UNSUP_METADATA UNSUP_METADATA_MASK BAD_EXPERIMENTER BAD_EXP_TYPE "
        "BAD_LEN EPERM DUP_INST",
    ),
    4: (
        "match",
        "OFPBMC",
        "BAD_TYPE BAD_LEN BAD_TAG BAD_DL_ADDR_MASK BAD_NW_ADDR_MASK BAD_WILDCARDS BAD_FIELD BAD_VALUE BAD_MASK "
        "BAD_PREREQ DUP_FIELD EPERM",
    ),
    5: (
        "flow",
        "OFPFMFC",
        "UNKNOWN TABLE_FULL BAD_TABLE_ID OVERLAP EPERM BAD_TIMEOUT BAD_COMMAND BAD_FLAGS CANT_SYNC BAD_PRIORITY "
        "IS_SYNC",
    ),
    6: (
        "group",
        "OFPGMFC",
        "GROUP_EXISTS INVALID_GROUP WEIGHT_UNSUPPORTED OUT_OF_GROUPS OUT_OF_BUCKETS CHAINING_UNSUPPORTED "
        "WATCH_UNSUPPORTED LOOP UNKNOWN_GROUP CHAINED_GROUP BAD_TYPE BAD_COMMAND BAD_BUCKET BAD_WATCH EPERM "
        "UNKNOWN_BUCKET BUCKET_EXISTS",
    ),
    10: ("switch configuration", "OFPSCFC", "BAD_FLAGS BAD_LEN EPERM"),
    12: (
        "meter",
        "OFPMMFC",
        "UNKNOWN METER_EXISTS INVALID_METER UNKNOWN_METER BAD_COMMAND BAD_FLAGS BAD_RATE BAD_BURST BAD_BAND "
        "BAD_BAND_VALUE OUT_OF_METERS OUT_OF_BANDS",
    ),
    14: (
        "property",
        "OFPBPC",
        "BAD_TYPE BAD_LEN BAD_VALUE TOO_MANY DUP_TYPE BAD_EXPERIMENTER BAD_EXP_TYPE BAD_EXP_VALUE EPERM",
    ),
    17: (
        "bundle",
        "OFPBFC",
        "UNKNOWN EPERM BAD_ID BUNDLE_EXIST BUNDLE_CLOSED OUT_OF_BUNDLES BAD_TYPE BAD_FLAGS MSG_BAD_LEN MSG_BAD_XID "
        "MSG_UNSUP MSG_CONFLICT MSG_TOO_MANY MSG_FAILED TIMEOUT BUNDLE_IN_PROGRESS SCHED_NOT_SUPPORTED SCHED_FUTURE "
        "SCHED_PAST",
    ),
}
_NICIRA_CODES: Final = {
    2: "NXBRC_NXM_INVALID",
    3: "NXBRC_NXM_BAD_TYPE",
    4: "NXBRC_MUST_BE_ZERO",
    10: "NXBRC_UNENCODABLE_ERROR",
    11: "NXBAC_MUST_BE_ZERO",
    12: "NXFMFC_HARDWARE",
    13: "NXFMFC_BAD_TABLE_ID",
    15: "NXBAC_BAD_CONJUNCTION",
    22: "OFPBFC_BAD_VERSION",
    34: "NXR_NOT_SUPPORTED",
    39: "NXBAC_BAD_HEADER_TYPE",
    42: "NXBAC_CT_DATAPATH_SUPPORT",
    43: "NXBMC_CT_DATAPATH_SUPPORT",
}
METER_EXISTS: Final = (12, 1)
UNKNOWN_METER: Final = (12, 3)


class Fault(NamedTuple):
    """A decoded error: `type` and `code` as sent, the id of an experimenter, the start of the refused message."""

    type: int
    code: int
    experimenter: int | None
    offender: bytes

    def __str__(self) -> str:
        if self.type == _EXPERIMENTER:
            name = _NICIRA_CODES.get(self.code) if self.experimenter == _NICIRA else None
            return name or f"experimenter {self.experimenter:#x} error {self.code}"
        what, prefix, names = _TYPES.get(self.type, (f"type {self.type}", "error", ""))
        known = names.split()
        return f"bad {what}, {prefix}_{known[self.code] if self.code < len(known) else self.code}"


def decode_fault(body: bytes) -> Fault:
    """An error message without its OpenFlow header."""
    type_, code = struct.unpack_from("!HH", body)
    if type_ == _EXPERIMENTER and len(body) >= 8:
        return Fault(type_, code, struct.unpack_from("!I", body, 4)[0], body[8:])
    return Fault(type_, code, None, body[4:])
