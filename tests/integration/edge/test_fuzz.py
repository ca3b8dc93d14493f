"""Requests made from the gateway's own description, right and wrong ones: no answer is a 5xx or other than described."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationConfig

from support.people import sign_up
from support.storefront import storefront

if TYPE_CHECKING:
    from pathlib import Path
