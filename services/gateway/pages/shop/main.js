// Where the page begins: every part is started, in the order in which it is read.

import { guardedBy } from "./api.js";
import { startAccount } from "./account.js";
import { startGoods } from "./goods.js";
import { startOrders } from "./orders.js";
import { renew, restore, token } from "./session.js";
import { startTrace } from "./trace.js";
import { startVersions } from "./versions.js";
import { startViews } from "./views.js";
import { startWelcome } from "./welcome.js";

guardedBy({ token, renew });
await restore();
startTrace();
startWelcome();
startAccount();
startGoods();
startOrders();
startVersions();
startViews();
