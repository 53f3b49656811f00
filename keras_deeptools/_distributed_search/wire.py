"""What workers tell the chief of a search beside KerasTuner's own calls."""

import json
from typing import Any

import grpc

SERVICE = "keras_deeptools.Workers"
# Headers of every call of a worker: its name, its run, and why a trial failed.
NAME, RUN, NOTE = "worker-name", "worker-run", "trial-note-bin"
# Of headers, gRPC takes 8 KB.
LONGEST_NOTE = 4000


def packed(thing: Any) -> bytes:
    """The bytes of a message."""
    return json.dumps(thing).encode()


def handler(answers: dict[str, Any]) -> Any:
    """What a server answers the calls of `SERVICE` with.

    Args:
        answers: Name of the call -> function from message and gRPC context to answer.
    """
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=json.loads,
                response_serializer=packed,
            )
            for name, answer in answers.items()
        },
    )


def call(channel: Any, name: str) -> Any:
    """The function that makes a call of `SERVICE` over a channel."""
    return channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=packed,
        response_deserializer=json.loads,
    )
