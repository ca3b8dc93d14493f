"""Extensions with baresip: a tone that goes in comes out, music is heard, and a process that is killed comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from integration.voice.baresip import NO_BARESIP, baresip, find_baresip
from integration.voice.exchange import exchange
from integration.voice.phone import phone
from services.common.runtime.tasks import background_task
from services.voice.audio.levels import decibels, rms
from services.voice.media.melody import melody
from services.voice.media.process import ExtensionProcess
from services.voice.sip.digest import Algorithm
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.voice.exchange import Exchange
    from services.voice.adapters import DatabaseStore
    from support.audio.signals import Signal

pytestmark = pytest.mark.skipif(find_baresip() is None, reason=NO_BARESIP)

HERTZ, AMPLITUDE = 440.0, 0.25
RATES = {"g722": 16_000, "g711": 8_000}


def write_tone(path: Path, rate: int) -> None:
    t = np.arange(20 * rate) / rate
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((AMPLITUDE * 32767 * np.sin(2 * np.pi * HERTZ * t)).astype("<i2").tobytes())


def heard(folder: Path) -> Signal:
    """What baresip has decoded so far."""
    (path,) = folder.glob("*-dec.wav")
    data = path.read_bytes()[44:]
    samples: Signal = (np.frombuffer(data[: len(data) // 2 * 2], np.int16) / 32768).astype(np.float32)
    return samples


def loudest(samples: Signal, rate: int) -> float:
    """The loudest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@dataclass
class Running:
    process: ExtensionProcess
    scores: list[float]


@pytest.fixture
async def extensions() -> AsyncIterator[Running]:
    scores: list[float] = []
    process = ExtensionProcess("127.0.0.1", scores.append)
    async with background_task(process.keep(), "extensions"):
        await eventually(lambda: process.targets)
        yield Running(process, scores)


@pytest.fixture
async def switchboard(store: DatabaseStore, extensions: Running) -> AsyncIterator[Exchange]:
    async with exchange(store, algorithms=[Algorithm.MD5], extensions=extensions.process.targets) as made:
        yield made


@contextlib.asynccontextmanager
async def calling(switchboard: Exchange, folder: Path, name: str, codec: str = "g722") -> AsyncIterator[Path]:
    """A baresip that has called an extension, and plays a tone into the call."""
    write_tone(folder / "tone.wav", RATES[codec])
    sounds = folder / "sounds"
    sounds.mkdir()
    config = (
        f"audio_source aufile,{folder}/tone.wav\naudio_player aubridge,a\naudio_alert aubridge,b\nsnd_path {sounds}\n"
    )
    account = f"<sip:ada@127.0.0.1:{switchboard.port}>;auth_user=ada;auth_pass={await switchboard.device()};regint=60"
    dial = f"/dial sip:{name}@127.0.0.1:{switchboard.port}"
    modules = (codec, "aufile", "aubridge", "sndfile")
    async with baresip(folder / "phone", account, modules=modules, config=config, commands=[dial]) as made:
        await eventually(lambda: "Set audio decoder" in made.output, message="the call is answered")
        yield sounds


@pytest.mark.parametrize("codec", ["g722", "g711"])
async def test_a_tone_that_goes_into_echo_comes_out_at_its_frequency_and_level(
    switchboard, extensions, tmp_path, codec
):
    rate = RATES[codec]
    async with calling(switchboard, tmp_path, "echo", codec) as sounds:
        assert switchboard.metric("sip_calls_talking") == 1
        await eventually(lambda: len(heard(sounds)) > 4 * rate, 30)
        out = heard(sounds)[-2 * rate :]
    assert loudest(out, rate) == pytest.approx(HERTZ, abs=2)
    assert decibels(rms(out)) == pytest.approx(decibels(AMPLITUDE / np.sqrt(2)), abs=1.5)
    await eventually(lambda: extensions.scores)
    assert extensions.scores[0] > 3.6
    assert switchboard.metric("sip_calls_talking") == 0


async def test_music_is_heard(switchboard, extensions, tmp_path):
    """With G.711: PJSIP's encoder for G.722 halves what it gets, and its decoder doubles it."""
    async with calling(switchboard, tmp_path, "music", "g711") as sounds:
        await eventually(lambda: len(heard(sounds)) > 6 * 8_000, 30)
        out = heard(sounds)[8_000:]
    assert decibels(rms(out)) == pytest.approx(decibels(rms((melody() / 32768).astype(np.float32))), abs=2)


async def test_extensions_come_back_after_their_process_was_killed_and_registrations_go_on(switchboard, extensions):
    process = extensions.process
    first = process.pid
    os.kill(first, signal.SIGKILL)
    async with phone(switchboard.port, "ada", await switchboard.device()) as ada:
        assert (await ada.register()).status_code == 200
        await eventually(lambda: not process.targets or process.pid != first)
        await eventually(lambda: set(process.targets) == {"echo", "music"}, 30)
        assert process.pid != first


async def test_the_process_ends_with_the_service(tmp_path):
    process = ExtensionProcess("127.0.0.1")
    async with background_task(process.keep(), "extensions"):
        await eventually(lambda: process.targets)
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
