// Jaeger's query API, and the two things that this page has beside it.

/** The `data` of an answer; throws an Error with the server's words. */
export async function get(path, parameters, signal) {
  const query = parameters && String(parameters) ? `?${parameters}` : "";
  let response;
  try {
    response = await fetch(path + query, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The trace store does not answer. Is it running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok || !body) {
    const error = new Error(body?.errors?.[0]?.msg ?? `The trace store answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return body.data;
}

/** Calls `listener` after each change of the store while live is on. */
class Live {
  #source = null;
  #listener = null;
  #button = document.getElementById("live");

  constructor() {
    this.#button.addEventListener("click", () => this.set(!this.on));
    this.on = false;
  }

  restore() {
    if (localStorage.getItem("live") === "on") this.set(true);
  }

  listen(listener) {
    this.#listener = listener;
  }

  set(on) {
    this.on = on;
    localStorage.setItem("live", on ? "on" : "off");
    this.#button.setAttribute("aria-pressed", String(on));
    this.#source?.close();
    this.#source = null;
    if (!on) return;
    this.#source = new EventSource("/ui/changes");
    this.#source.onmessage = () => this.#listener?.();
    this.#source.onopen = () => this.#button.classList.remove("waiting");
    this.#source.onerror = () => this.#button.classList.add("waiting");
  }
}

export const live = new Live();
