// Where the page begins: every part is started, in the order in which it is read.

import { startAccount } from "./account.js";
import { authenticateBy, call } from "./api.js";
import { startCalls } from "./calls/calls.js";
import { nameOfUser, startChat } from "./chat.js";
import { Connection } from "./connection.js";
import { startConnectionState } from "./connection_state.js";
import { startGoods } from "./goods.js";
import { startLive } from "./live.js";
import { startNotifications } from "./notifications.js";
import { startOrders } from "./orders.js";
import { trouble } from "./parts.js";
import { completeLogin, renew, restore, token } from "./session.js";
import { backoff, byId, Problem, pause, sentence, show } from "./shared/page.js";
import { toast } from "./toasts.js";
import { startTrace } from "./trace.js";
import { startVersions } from "./versions.js";
import { startViews } from "./views.js";
import { startWelcome } from "./welcome.js";

/** @import { Settings } from "./resources.js" */

const LONGEST_WAIT = 5000;

/**
 * The settings. Without them nothing can be shown: a gateway that is starting or stopping is asked again.
 * @returns {Promise<Settings>}
 */
async function readSettings() {
  const waiting = byId("waiting");
  for (let attempt = 0; ; attempt += 1) {
    try {
      const found = await call("GET", "/shop/settings.json", { anonymous: true });
      waiting.hidden = true;
      return found;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      waiting.hidden = false;
      show(waiting, trouble(error));
      await pause(backoff(attempt, LONGEST_WAIT));
    }
  }
}

async function finishLogin() {
  try {
    await completeLogin();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast("The sign-in has failed", sentence(error.message), "bad");
  }
}

authenticateBy({ token, renew });
const settings = await readSettings();
await restore();
await finishLogin();
startTrace(settings.traces_url);
startWelcome(settings.logins);
startAccount(settings.logins);
startGoods();
startOrders();
startVersions();

// A gateway without chat, notifications and live streams has the rest all the same.
if (settings.realtime) {
  for (const link of document.querySelectorAll(".bar nav a[hidden]")) link.removeAttribute("hidden");
  const connection = new Connection();
  startConnectionState(connection);
  const calls = startCalls(connection, nameOfUser);
  startChat(connection, (room, user) => calls.ring(room, user));
  startNotifications(connection);
  connection.start();
  startLive();
}
startViews();
