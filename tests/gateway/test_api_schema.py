# runs on: cpython
"""The API of a running gateway against its own schema: schemathesis asks what it allows, and what it does
not. A 503 is an answer of ours (too many ask, too much at once); a 500 is a mistake, and in no schema.
"""

from __future__ import annotations

import asyncio
import copy
import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.web.api_schema import PATHS, SCHEMA, WHERE
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig

CHECKS = [
    content_type_conformance, negative_data_rejection, response_schema_conformance, status_code_conformance,
    unsupported_method,
]  # fmt: skip
EXAMPLES = 30


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """The address of a gateway that has measured a little."""
    folder = tmp_path_factory.mktemp("api")

    with serve(1, 2) as (port,):
        config = rig.write_config(
            folder, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"), rig.bus_channel("COD", "tank", 0),
            rig.bus_channel("pH", "tank", 2), '[public]\nchannels = ["COD"]\n', window_minutes=1,
        )  # fmt: skip
        loop = asyncio.new_event_loop()
        running = rig.running(config)
        run = loop.run_until_complete(running.__aenter__())
        try:
            _, text = loop.run_until_complete(run.get(WHERE))
            yield run._page, json.loads(text)
        finally:
            loop.run_until_complete(running.__aexit__(None, None, None))
            loop.close()


def hold(base: str, told: dict, path: str, checks=CHECKS) -> None:
    """Ask one operation EXAMPLES times. Raises what does not hold."""
    schema = schemathesis.openapi.from_dict(told)
    (operation,) = (one.ok() for one in schema.get_all_operations() if one.ok().path == path)

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=operation.as_strategy())
    def ask(case) -> None:
        case.call_and_validate(base_url=base, checks=checks, timeout=20)

    ask()


def test_the_schema_that_is_served_is_ours(gateway):
    assert gateway[1] == json.loads(json.dumps(SCHEMA))


@pytest.mark.parametrize("path", PATHS)
def test_what_is_answered_is_what_the_schema_says(gateway, path):
    hold(*gateway, path)


def test_control_an_answer_that_is_not_in_the_schema_is_found(gateway):
    base, told = gateway
    less = copy.deepcopy(told)
    responses = less["paths"]["/api/v1/receipt/{symbol}/{stamp}"]["get"]["responses"]
    del responses["404"]
    with pytest.raises(BaseException, match="404"):
        hold(base, less, "/api/v1/receipt/{symbol}/{stamp}")


def test_control_an_object_of_another_shape_is_found(gateway):
    base, told = gateway
    other = copy.deepcopy(told)
    content = other["paths"]["/api/v1/current"]["get"]["responses"]["200"]["content"]
    content["application/json"]["schema"]["properties"]["channels"] = {"type": "string"}
    with pytest.raises(BaseException, match="string"):
        hold(base, other, "/api/v1/current")
