"""Audio processing of calls: stages that are pure functions over frames of PCM.

A stage takes its state and a frame, and returns the next state and a frame: `state, frame = suppress(state, frame)`.
States are frozen values that begin as their class without arguments, so that a stage can be run twice over one signal,
measured before and after, and tested without a telephone. `frames` says what a frame is. In the order in which a
speaker's audio passes them:

- `concealment` fills in for lost packets;
- `noise` suppresses noise;
- `gain` brings each speaker to one level;
- `activity` tells who speaks;
- `mixing` gives each listener the sum of the others.

`levels` and `spectrum` measure a frame for display, and `quality` estimates how good a call is.
"""
