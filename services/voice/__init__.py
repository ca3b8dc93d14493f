"""The voice service: telephony by SIP."""
