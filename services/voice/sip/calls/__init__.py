"""Calls: an INVITE on its way from the caller to the telephones, and what follows within the call.

- `proxy`: takes what belongs to calls, and knows them by `dialogs`;
- `invite_server`, `fork`, `invite_client`: an INVITE's transaction with the caller, its branches, and the transaction
  with each telephone, by `timers`;
- `forwarding`: what changes in a message on the way (pure);
- `routing`: where a name is reached.
"""
