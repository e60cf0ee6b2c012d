/* The search runs in a worker, which browsers refuse to a page that was opened from the disk.
   There, and only there, this stands in for it: a hidden frame that is spoken to in the same way. */
"use strict";
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      this.inside = this.frame.contentWindow;
      // Copies, as a worker gets and gives: each side changes what it has.
      this.inside.postMessage = (data) => this.onmessage?.({ data: structuredClone(data) });
      const script = this.inside.document.createElement("script");
      script.src = url;
      this.loaded = new Promise((done) => script.addEventListener("load", done));
      this.inside.document.head.append(script);
    }
    postMessage(message) {
      const data = structuredClone(message);
      this.loaded.then(() =>
        this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
