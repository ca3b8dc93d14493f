"""Requests after RFC 4475, "SIP Torture Test Messages": those of its sections 3.1.1 and 3.3 that are valid, and those
of 3.1.2 that are not.

Names are the RFC's. `\\n` stands for the line end.
"""

# ruff: noqa: E501 - header lines are as long as they are
from __future__ import annotations

COMMON = "From: <sip:caller@example.net>;tag=323\nTo: sip:user@example.com\nMax-Forwards: 70\n"
SDP = "v=0\no=mhandley 29739 7272939 IN IP4 192.0.2.155\ns=-\nc=IN IP4 192.0.2.155\nt=0 0\nm=audio 49217 RTP/AVP 0\n"

VALID = {
    "wsinv": (
        "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\n"
        "TO :\n sip:vivekg@chair-dnrc.example.com ; tag    = 1918181833n\n"
        'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n'
        "MaX-fOrWaRdS: 0068\nCall-ID: wsinv.ndaksdj@192.0.2.1\nContent-Length   : 0\ncseq: 0009\n  INVITE\n"
        "Via  : SIP /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\ns :\n"
        "NewFangledHeader:   newfangled value\n continued newfangled value\n"
        "UnknownHeaderWithUnusualValue: ;;,,;;,;\nRoute:\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\n"
        "v:  SIP  / 2.0  / TCP spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8  ,\n"
        " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\n"
        'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\n      newvalue ;\n secondparam ; q = 0.33\n\n'
    ),
    "intmeth": (
        "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
        ":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0\n"
        "Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\n"
        'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)@example.com>\n'
        "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;tag=_token~1'+`*%!-.\n"
        "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\n"
        "CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\nMax-Forwards: 255\nContent-Length: 0\n\n"
    ),
    "escnull": (
        "REGISTER sip:example.com SIP/2.0\nTo: sip:null-%00-null@example.com\n"
        "From: sip:null-%00-null@example.com;tag=839923423\nMax-Forwards: 70\nCall-ID: escnull.39203ndfvkjdasfkq3w4otrq0\n"
        "CSeq: 14398234 REGISTER\nVia: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw\n"
        "Contact: <sip:%00@host5.example.com>\nContact: <sip:%00%00@host5.example.com>\nL:0\n\n"
    ),
    "esc02": (
        "RE%47IST%45R sip:registrar.example.com SIP/2.0\nTo: sip:resource@example.com\n"
        "From: sip:resource@example.com;tag=f232jadfj23\nCall-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf\n"
        "Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234\nCSeq: 29344 RE%47IST%45R\n"
        "Max-Forwards: 70\nContact: <sip:alias1@host1.example.com>\nl: 0\n\n"
    ),
    "lwsdisp": (
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: caller<sip:caller@example.com>;tag=323\n"
        "Max-Forwards: 70\nCall-ID: lwsdisp.1234abcd@funky.example.com\nCSeq: 60 OPTIONS\n"
        "Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw\nl: 0\n\n"
    ),
    "longreq": (
        "OPTIONS sip:user@example.com SIP/2.0\n"
        f'To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000;unknownparam1={"very" * 20}>\n'
        f"F: sip:{'amazinglylongcallername' * 5}@example.net;tag=12{'982' * 50}424;unknownheaderparam=1\n"
        f"Call-ID: longreq.one{'really' * 20}longcallid\nCSeq: 3882340 OPTIONS\nMax-Forwards: 70\n"
        f"Unknown-{'Long' * 20}-Name: unknown-{'long' * 20}-value\n"
        + "".join(f"Via: SIP/2.0/TCP sip{n}.example.com;branch=z9hG4bK{n}{'long' * 10}\n" for n in range(33, 0, -1))
        + "l: 0\n\n"
    ),
    "semiuri": (
        "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\nTo: sip:j_user@example.com\n"
        "From: sip:caller@example.org;tag=33242\nMax-Forwards: 3\nCall-ID: semiuri.0ha0isndaksdj\nCSeq: 8 OPTIONS\n"
        "Accept: application/sdp, application/pkcs7-mime, multipart/mixed\n"
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw\nl: 0\n\n"
    ),
    "transports": (
        "OPTIONS sip:user@example.com SIP/2.0\nTo: sip:user@example.com\nFrom: <sip:caller@example.com>;tag=323\n"
        "Max-Forwards: 70\nCall-ID:  transports.kijh4akdnaqjkwendsasfdj\nAccept: application/sdp\nCSeq: 60 OPTIONS\n"
        "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\nVia: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\n"
        "Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\nVia: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\n"
        "Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee\nl: 0\n\n"
    ),
    "dblreq": (
        "REGISTER sip:example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:j.user@example.com;tag=43251j3j324\n"
        "Max-Forwards: 8\nI: dblreq.0ha0isndaksdj99sdfafnl3lk233412\nContact: sip:j.user@host.example.com\nCSeq: 8 REGISTER\n"
        "Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492\nContent-Length: 0\n\n"
        "INVITE sip:joe@example.com SIP/2.0\nt: sip:joe@example.com\nContent-Length: 0\n\n"
    ),
    "cparam01": (
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKkdjuw\nMax-Forwards: 70\n"
        "From: sip:watson@example.com;tag=DkfVgjkrtMwaerKKpe\nTo: sip:watson@example.com\n"
        "Call-ID: cparam01.70710@saturn.example.com\nCSeq: 2 REGISTER\n"
        "Contact: sip:+19725552222@gw1.example.net;unknownparam\nl: 0\n\n"
    ),
    "inv2543": (
        "INVITE sip:UserB@example.com SIP/2.0\nVia: SIP/2.0/UDP iftgw.example.com\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\n"
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>\nTo: sip:+16505552222@ss1.example.net;user=phone\n"
        "Call-ID: inv2543.1717@ift.client.example.com\nCSeq: 56 INVITE\nContent-Type: application/sdp\n\n" + SDP
    ),
    "regescrt": (
        "REGISTER sip:example.com SIP/2.0\nTo: sip:user@example.com\nFrom: sip:user@example.com;tag=8\nMax-Forwards: 70\n"
        "Call-ID: regescrt.k345asrl3fdbv@192.0.2.1\nCSeq: 14398234 REGISTER\nVia: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw\n"
        "M: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\nL:0\n\n"
    ),
    "regaut01": (
        "REGISTER sip:example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:j.user@example.com;tag=87321hj23128\nMax-Forwards: 8\n"
        "Call-ID: regaut01.0ha0isndaksdj\nCSeq: 9338 REGISTER\nVia: SIP/2.0/TCP 192.0.2.253;branch=z9hG4bKkdjuw\n"
        "Authorization: NoOneKnowsThisScheme opaque-data=here\nContent-Length:0\n\n"
    ),
}


def _options(
    name: str, *, start: str = "OPTIONS sip:user@example.com SIP/2.0", more: str = "", cseq: str = "8 OPTIONS"
) -> str:
    via = "Via: SIP/2.0/UDP host4.example.com:5060;branch=z9hG4bKkdju43234\n"
    return f"{start}\n{via}{COMMON}Call-ID: {name}.dkfja\nCSeq: {cseq}\n{more}\n"


INVALID = {
    "badinv01": (
        "INVITE sip:user@example.com SIP/2.0\nTo: sip:j.user@example.com\nFrom: sip:caller@example.net;tag=134161461246\n"
        "Max-Forwards: 7\nCall-ID: badinv01.0ha0isndaksdjasdf3234nas\nCSeq: 8 INVITE\n"
        'Via: SIP/2.0/UDP 192.0.2.15;;,;,,\nContact: "Joe" <sip:joe@example.org>;;;;\nContent-Length: 9999\n\n' + SDP
    ),
    "clerr": _options("clerr", more="Content-Length: 9999\n") + "too short",
    "ncl": _options("ncl", more="Content-Length: -999\n"),
    "scalar02": (
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3\nTo: <sip:user@example.com>\n"
        "From: <sip:user@example.com>;tag=239232jh3\nCSeq: 36893488147419103232 REGISTER\nCall-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32\n"
        "Max-Forwards: 300\nExpires: 100000000000000000000000000000000\nContact: <sip:user@host129.example.com>\nContent-Length: 0\n\n"
    ),
    "ltgtruri": _options("ltgtruri", start="OPTIONS <sip:user@example.com> SIP/2.0"),
    "lwsruri": _options("lwsruri", start="OPTIONS sip:user@example.com; lr SIP/2.0"),
    "lwsstart": _options("lwsstart", start="OPTIONS  sip:user@example.com  SIP/2.0 !"),
    "trws": _options("trws", start="OPTIONS sip:remote-target@example.com SIP/2.0 SIP/2.0x"),
    "badvers": _options("badvers", start="OPTIONS sip:t.watson@example.org SIP/7.0"),
    "mismatch01": _options("mismatch01", cseq="8 INVITE"),
    "mismatch02": _options("mismatch02", start="NEWMETHOD sip:user@example.com SIP/2.0", cseq="8 INVITE"),
    "unkscm": _options("unkscm", start="OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
    "novelsc": _options("novelsc", start="OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"),
    "insuf": "INVITE sip:user@example.com SIP/2.0\nCSeq: 193942 INVITE\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\nl: 0\n\n",
    "multi01": _options(
        "multi01", more="CSeq: 9 OPTIONS\nCall-ID: another\nFrom: sip:x@example.com;tag=1\nTo: sip:y@example.com\n"
    ),
    "noversion": _options("noversion", start="OPTIONS sip:user@example.com"),
    "novia": "OPTIONS sip:user@example.com SIP/2.0\n" + COMMON + "Call-ID: novia\nCSeq: 8 OPTIONS\n\n",
    "empty": "\x00\x00\x00",
    "response": "SIP/2.0 4294967301 better not break the receiver\n"
    + COMMON
    + "Call-ID: bigcode\nCSeq: 353494 INVITE\n\n",
    "binary": "\udcff\udcfe\udc80" * 200,
}
"""Refused, or dropped where the sender is not known."""


def wire(text: str) -> bytes:
    """The message as it travels."""
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")
