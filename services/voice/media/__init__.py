"""Extensions that have audio: a process of its own with PJSIP in it.

- `melody`: what `music` plays (pure);
- `__main__`: the process: answers calls, and tells of itself in lines of JSON;
- `process`: keeps that process running, and reads what it tells.

PJSIP is C, with a loop of its own and assertions that end a process. In a process of its own it ends calls to
extensions at worst, and neither registrations nor calls between telephones. It ends when its standard input does, so it
never outlives the service.
"""
