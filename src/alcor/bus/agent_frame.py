"""What agents say to bytes and back, by the schema of `wire.proto`: frames, and reports as dataplanes get them too."""

from collections.abc import Iterable
from typing import assert_never

from alcor.bus import wire_pb2 as wire
from alcor.bus.codec import decode_id, decode_ip, decode_mac, encode_id, encode_ip, encode_mac
from alcor.bus.frame import decode_frame, decode_keys, decode_scope, encode_keys, encode_scope
from alcor.bus.interface import (
    Ack,
    AgentMessage,
    ClaimReport,
    Confirm,
    Forget,
    Heartbeat,
    Hello,
    Lookup,
    LossReport,
    PortReport,
    Reply,
    Resume,
)


def encode_agent_frame(messages: Iterable[AgentMessage]) -> bytes:
    """The frame that holds `messages` in order. Raises: ValueError if one has no wire form."""
    frame = wire.AgentFrame(message=[_wire_of_agent(message) for message in messages])
    return frame.SerializeToString(deterministic=True)


def _wire_of_agent(message: AgentMessage) -> wire.AgentMessage:
    match message:
        case Hello():
            return wire.AgentMessage(
                hello=wire.Hello(
                    host_id=encode_id(message.host_id),
                    token=message.token,
                    agent_version=message.agent_version,
                    epoch=message.epoch,
                    position=[
                        wire.ScopePosition(scope=encode_scope(scope), position=position)
                        for scope, position in message.positions.items()
                    ],
                    held=[
                        wire.HeldKeys(scope=encode_scope(scope), key=encode_keys(keys))
                        for scope, keys in message.held.items()
                    ],
                    sought=[
                        wire.Lookup(scope=encode_scope(scope), subject=subjects)
                        for scope, subjects in message.sought.items()
                    ],
                    rescues=message.rescues,
                    rescuer_id=encode_id(message.rescuer_id),
                    lease=message.lease,
                )
            )
        case Ack():
            return wire.AgentMessage(
                ack=wire.Ack(
                    epoch=message.epoch,
                    realized=message.realized,
                    port=[encode_port(port) for port in message.ports],
                    claim=[encode_claim(claim) for claim in message.claims],
                    loss=[encode_loss(loss) for loss in message.losses],
                    receive_ms=message.receive_ms,
                    install_ms=message.install_ms,
                )
            )
        case Resume():
            return wire.AgentMessage(
                resume=wire.Resume(scope=encode_scope(message.scope), position=message.position)
            )
        case Lookup():
            return wire.AgentMessage(
                lookup=wire.Lookup(scope=encode_scope(message.scope), subject=message.subjects)
            )
        case Forget():
            return wire.AgentMessage(
                forget=wire.Forget(scope=encode_scope(message.scope), key=encode_keys(message.keys))
            )
        case Confirm():
            return wire.AgentMessage(
                confirm=wire.Confirm(
                    scope=encode_scope(message.scope), key=encode_keys(message.keys), digest=message.digests
                )
            )
        case Heartbeat():
            beat = wire.Heartbeat(detail=message.detail, path=message.paths, settled=message.settled)
            return wire.AgentMessage(heartbeat=beat)
        case Reply():
            return wire.AgentMessage(reply=encode_reply(message))
        case _:
            assert_never(message)


def encode_port(port: PortReport) -> wire.PortReport:
    """A port's transition on the wire. Raises: ValueError."""
    return wire.PortReport(
        port_id=encode_id(port.port_id), plugged=port.plugged, ofport=port.ofport, at_ms=port.at_ms
    )


def encode_claim(claim: ClaimReport) -> wire.ClaimReport:
    """A claim on the wire. Raises: ValueError."""
    return wire.ClaimReport(
        network_id=encode_id(claim.network_id),
        ip=encode_ip(claim.ip),
        mac=encode_mac(claim.mac),
        port_id=encode_id(claim.port_id),
        at_ms=claim.at_ms,
    )


def encode_loss(loss: LossReport) -> wire.LossReport:
    """A lost gateway host on the wire. Raises: ValueError."""
    return wire.LossReport(host_id=encode_id(loss.host_id), at_ms=loss.at_ms)


def encode_reply(reply: Reply) -> wire.Reply:
    """An answer on the wire."""
    return wire.Reply(number=reply.number, body=reply.body, error=reply.error)


def decode_agent_frame(frame: bytes) -> list[AgentMessage]:
    """The messages of a frame. Raises: ValueError."""
    return decode_frame(
        wire.AgentFrame.FromString, lambda read: [_decode_agent_message(each) for each in read.message], frame
    )


def _decode_agent_message(message: wire.AgentMessage) -> AgentMessage:
    match message.WhichOneof("message"):
        case "hello":
            hello = message.hello
            return Hello(
                host_id=decode_id(hello.host_id),
                token=hello.token,
                agent_version=hello.agent_version,
                epoch=hello.epoch,
                positions={decode_scope(each.scope): each.position for each in hello.position},
                held={decode_scope(each.scope): decode_keys(each.key) for each in hello.held},
                sought={decode_scope(each.scope): tuple(each.subject) for each in hello.sought},
                rescues=hello.rescues,
                rescuer_id=decode_id(hello.rescuer_id),
                lease=hello.lease,
            )
        case "ack":
            ports = tuple([decode_port(port) for port in message.ack.port])
            claims = tuple([decode_claim(claim) for claim in message.ack.claim])
            return Ack(
                epoch=message.ack.epoch,
                realized=dict(message.ack.realized),
                ports=ports,
                claims=claims,
                losses=tuple([decode_loss(loss) for loss in message.ack.loss]),
                receive_ms=message.ack.receive_ms,
                install_ms=message.ack.install_ms,
            )
        case "resume":
            return Resume(decode_scope(message.resume.scope), message.resume.position)
        case "lookup":
            return Lookup(decode_scope(message.lookup.scope), tuple(message.lookup.subject))
        case "forget":
            return Forget(decode_scope(message.forget.scope), decode_keys(message.forget.key))
        case "confirm":
            confirm = message.confirm
            if len(confirm.key) != len(confirm.digest):
                raise ValueError(f"{len(confirm.key)} keys to confirm, and {len(confirm.digest)} digests")
            return Confirm(decode_scope(confirm.scope), decode_keys(confirm.key), tuple(confirm.digest))
        case "heartbeat":
            beat = message.heartbeat
            return Heartbeat(beat.detail, dict(beat.path), beat.settled)
        case "reply":
            return decode_reply(message.reply)
        case _:
            raise ValueError("a message of a kind unknown to this version")


def decode_port(message: wire.PortReport) -> PortReport:
    """The inverse of `encode_port`. Raises: ValueError."""
    return PortReport(decode_id(message.port_id), message.plugged, message.ofport, message.at_ms)


def decode_claim(message: wire.ClaimReport) -> ClaimReport:
    """The inverse of `encode_claim`. Raises: ValueError."""
    return ClaimReport(
        decode_id(message.network_id),
        decode_ip(message.ip),
        decode_mac(message.mac),
        decode_id(message.port_id),
        message.at_ms,
    )


def decode_loss(message: wire.LossReport) -> LossReport:
    """The inverse of `encode_loss`. Raises: ValueError."""
    return LossReport(decode_id(message.host_id), message.at_ms)


def decode_reply(message: wire.Reply) -> Reply:
    """The inverse of `encode_reply`."""
    return Reply(message.number, message.body, message.error)
