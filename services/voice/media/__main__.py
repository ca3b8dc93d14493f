"""python -m services.voice.media HOST: answers calls to extensions, with PJSIP.

Objects that PJSIP returns own what is in them: they are kept in a variable while their parts are used.

Writes a line of JSON when it is ready, `{"port": 40123, "names": ["echo", "music"]}`, and one for each call that ended,
`{"ended": "echo", "seconds": 12.5, "mos": 4.41}`. The estimate is of what it has received
(`services.voice.audio.quality`); null where no statistics came. Ends with its standard input.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pjsua2 as pj

from services.voice.audio.quality import mean_opinion_score
from services.voice.media.melody import melody, wav

MAX_CALLS = 32
EVENT_MILLISECONDS = 10
STATISTICS_SECONDS = 1.0
CONNECT_SECONDS = 0.1
NAMES = ("echo", "music")
PREFERRED = ("G722/16000/1", "PCMA/8000/1", "PCMU/8000/1")
"""Codecs that are offered, the best first; the rest are off."""
_NAME = re.compile(r"sips?:([^@>;]+)@")
_MICROSECONDS = 1e6


class Parent:
    """The process that started this one. PJSIP writes to standard output what it likes: its own lines go past it."""

    def __init__(self) -> None:
        self._lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())

    def tell(self, **facts: Any) -> None:
        """Writes a line."""
        self._lines.write(json.dumps(facts) + "\n")
        self._lines.flush()


class ExtensionCall(pj.Call):  # type: ignore[misc]
    """One call to an extension."""

    def __init__(self, extensions: Extensions, call_id: int) -> None:
        super().__init__(extensions, call_id)
        self.score: float | None = None
        self._extensions = extensions
        self._began = time.monotonic()
        info = self.getInfo()
        found = _NAME.search(info.localUri)
        self.name = found[1].lower() if found else ""
        self._player: Any = None
        self._audio: int | None = None
        """The index of the audio, once there is some."""

    def onCallMediaState(self, _prm: Any) -> None:
        """Notes the audio: PJSIP's mixer adds it a little later."""
        info = self.getInfo()  # owns its media, which are gone with it
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self._audio = index

    def connect(self) -> None:
        """Connects the audio with itself, or with the music, if it is not. The mixer undoes what comes too early."""
        if self._audio is None:
            return
        audio = self.getAudioMedia(self._audio)
        source = audio if self.name == "echo" else self._music()
        info = source.getPortInfo()
        if audio.getPortId() not in info.listeners:
            source.startTransmit(audio)

    def _music(self) -> Any:
        if self._player is None:
            self._player = pj.AudioMediaPlayer()
            self._player.createPlayer(self._extensions.music)
        return self._player

    def onCallState(self, _prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._player = self._audio = None
            self._extensions.ended(self)
            seconds = round(time.monotonic() - self._began, 2)
            self._extensions.parent.tell(ended=self.name, seconds=seconds, mos=self.score)

    def measure(self) -> None:
        """Estimates the quality of what was received so far."""
        try:
            statistics = self.getStreamStat(0)
        except pj.Error:
            return  # not connected yet, or no more
        rtcp = statistics.rtcp
        received = rtcp.rxStat
        packets = received.pkt + received.loss
        if packets:
            jitter, delay = received.jitterUsec.mean / _MICROSECONDS, rtcp.rttUsec.mean / _MICROSECONDS
            self.score = round(mean_opinion_score(received.loss / packets, delay, jitter), 3)


class Extensions(pj.Account):  # type: ignore[misc]
    """The account that all calls come to."""

    def __init__(self, music: str, parent: Parent) -> None:
        super().__init__()
        self.music = music
        self.parent = parent
        self.calls: dict[int, ExtensionCall] = {}
        self.over: list[ExtensionCall] = []
        """Calls that ended in the events that are handled now: PJSIP still uses them."""

    def onIncomingCall(self, prm: Any) -> None:
        call = ExtensionCall(self, prm.callId)
        self.calls[prm.callId] = call
        answer = pj.CallOpParam(True)
        answer.statusCode = pj.PJSIP_SC_OK if call.name in NAMES else pj.PJSIP_SC_NOT_FOUND
        call.answer(answer)

    def ended(self, call: ExtensionCall) -> None:
        self.calls = {number: known for number, known in self.calls.items() if known is not call}
        self.over.append(call)


def start(endpoint: Any, host: str) -> int:
    """Starts PJSIP without a sound card; returns its port, on the loopback address."""
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly, config.uaConfig.maxCalls = 0, True, MAX_CALLS
    config.logConfig.level = config.logConfig.consoleLevel = 0
    config.medConfig.clockRate = config.medConfig.sndClockRate = 16_000
    config.medConfig.noVad = True
    config.medConfig.sndAutoCloseTime = -1  # the silent device is the clock of all calls
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = host
    made = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.audDevManager().setNullDev()
    endpoint.libStart()
    for codec in endpoint.codecEnum2():
        rank = PREFERRED.index(codec.codecId) if codec.codecId in PREFERRED else None
        endpoint.codecSetPriority(codec.codecId, 0 if rank is None else 200 - rank)
    info = endpoint.transportGetInfo(made)
    return int(info.localName.rpartition(":")[2])


def run(endpoint: Any, extensions: Extensions) -> None:
    """Handles events until standard input ends."""
    measured = connected = time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0] or sys.stdin.read(1):
        endpoint.libHandleEvents(EVENT_MILLISECONDS)
        extensions.over.clear()
        if time.monotonic() - connected >= CONNECT_SECONDS:
            connected = time.monotonic()
            for call in [*extensions.calls.values()]:
                call.connect()
        if time.monotonic() - measured >= STATISTICS_SECONDS:
            measured = time.monotonic()
            for call in [*extensions.calls.values()]:
                call.measure()


def main() -> None:
    host, parent = sys.argv[1], Parent()
    endpoint = pj.Endpoint()
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder) / "music.wav"
        music.write_bytes(wav(melody()))
        port = start(endpoint, host)
        extensions = Extensions(str(music), parent)
        account = pj.AccountConfig()
        account.idUri = f"sip:extensions@{host}"
        account.mediaConfig.transportConfig.boundAddress = host
        extensions.create(account, True)
        parent.tell(port=port, names=NAMES)
        run(endpoint, extensions)
    # Nothing is destroyed in order: PJSIP would wait for calls, and assert on what still talks.
    os._exit(0)


if __name__ == "__main__":
    main()
