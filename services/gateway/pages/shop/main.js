// Where the page begins: every part is started, in the order in which it is read.

import { call, guardedBy, Problem } from "./api.js";
import { startAccount } from "./account.js";
import { startChat } from "./chat.js";
import { backoff, byId, pause, sentence, show } from "./dom.js";
import { startGoods } from "./goods.js";
import { startLink } from "./link.js";
import { startLive } from "./live.js";
import { startNotifications } from "./notifications.js";
import { startOrders } from "./orders.js";
import { trouble } from "./parts.js";
import { Line } from "./socket.js";
import { comeBack, renew, restore, token } from "./session.js";
import { toast } from "./toasts.js";
import { startTrace } from "./trace.js";
import { startVersions } from "./versions.js";
import { startViews } from "./views.js";
import { startWelcome } from "./welcome.js";

guardedBy({ token, renew });

// Without this nothing can be shown: a gateway that starts or stops just now is asked again.
async function eventually(read) {
  const waiting = byId("waiting");
  for (let attempt = 0; ; attempt += 1) {
    try {
      const found = await read();
      waiting.hidden = true;
      return found;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      waiting.hidden = false;
      show(waiting, trouble(error));
      await pause(1000 * backoff(attempt, 5));
    }
  }
}

const settings = await eventually(() => call("GET", "/shop/settings.json", { anonymous: true }));
await restore();
try {
  await comeBack();
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  toast("You are not signed in by that", sentence(error.message), "bad");
}
startTrace(settings.traces_url);
startWelcome(settings.logins);
startAccount(settings.logins);
startGoods();
startOrders();
startVersions();

// A gateway without chat, notifications and live streams has the rest all the same.
if (settings.realtime) {
  for (const link of document.querySelectorAll(".bar nav a[hidden]")) link.hidden = false;
  const line = new Line();
  startLink(line);
  startChat(line);
  startNotifications(line);
  line.start();
  startLive();
}
startViews();
