// The microphone, the camera and the screen of this window, and what to say where there is none.

/** @typedef {{ microphone: boolean, camera: boolean, screen: boolean }} Sending */

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
/** @type {Record<string, string>} */
const WHY = {
  NotAllowedError: "the browser was told not to give it",
  NotFoundError: "there is none",
  NotReadableError: "another program uses it",
  OverconstrainedError: "there is none that fits",
  SecurityError: "this page may not use it",
};

/**
 * Why there is no camera or microphone, in words.
 * @param {unknown} error
 */
export function why(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  return WHY[name] ?? (error instanceof Error ? error.message : "it does not answer");
}

export class LocalMedia {
  #onChange;
  /** @type {MediaStreamTrack | null} */
  #microphone = null;
  /** @type {MediaStreamTrack | null} */
  #camera = null;
  /** @type {MediaStreamTrack | null} */
  #screen = null;
  /** What is missing, in words. @type {string[]} */
  problems = [];
  stream = new MediaStream();

  /** @param {() => void} onChange Called after the tracks have changed. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** @returns {Sending} */
  get sending() {
    return {
      microphone: Boolean(this.#microphone?.enabled),
      camera: Boolean(this.#camera),
      screen: Boolean(this.#screen),
    };
  }

  /** Opens the microphone, and the camera if `video`. A call goes on without either; `problems` says why. */
  async open(video = true) {
    this.problems = [];
    if (!navigator.mediaDevices) {
      this.problems.push("Browsers give camera and microphone to pages on localhost or over HTTPS only.");
      return;
    }
    await this.#openMicrophone();
    if (video) await this.#openCamera();
    this.#changed();
  }

  async #openMicrophone() {
    try {
      const found = await navigator.mediaDevices.getUserMedia({ audio: AUDIO });
      this.#microphone = found.getAudioTracks()[0] ?? null;
    } catch (error) {
      this.problems.push(`No microphone: ${why(error)}.`);
    }
  }

  async #openCamera() {
    try {
      const found = await navigator.mediaDevices.getUserMedia({ video: VIDEO });
      this.#camera = found.getVideoTracks()[0] ?? null;
    } catch (error) {
      this.problems.push(`No camera: ${why(error)}.`);
    }
  }

  /** Turns the microphone's sound off and on; the track stays, so that it is on at once. */
  toggleMicrophone() {
    if (!this.#microphone) return;
    this.#microphone.enabled = !this.#microphone.enabled;
    this.#onChange();
  }

  /** Turns the camera off, its light as well, and on. */
  async toggleCamera() {
    this.problems = this.problems.filter((text) => !text.startsWith("No camera"));
    if (this.#camera) {
      this.#camera.stop();
      this.#camera = null;
    } else await this.#openCamera();
    this.#changed();
  }

  /** Shows the screen in place of the camera, and the camera again. */
  async toggleScreen() {
    this.problems = this.problems.filter((text) => !text.startsWith("No screen"));
    if (this.#screen) this.#endScreen();
    else
      try {
        const found = await navigator.mediaDevices.getDisplayMedia({ video: true });
        this.#screen = found.getVideoTracks()[0] ?? null;
        if (this.#screen) this.#screen.onended = () => this.#endScreen();
      } catch (error) {
        this.problems.push(`No screen: ${why(error)}.`);
      }
    this.#changed();
  }

  close() {
    for (const track of [this.#microphone, this.#camera, this.#screen]) track?.stop();
    this.#microphone = this.#camera = this.#screen = null;
    this.#changed();
  }

  #endScreen() {
    this.#screen?.stop();
    this.#screen = null;
    this.#changed();
  }

  #changed() {
    const tracks = [this.#microphone, this.#screen ?? this.#camera].filter((track) => track !== null);
    for (const track of this.stream.getTracks()) if (!tracks.includes(track)) this.stream.removeTrack(track);
    for (const track of tracks) if (!this.stream.getTracks().includes(track)) this.stream.addTrack(track);
    this.#onChange();
  }
}
