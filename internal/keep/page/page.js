// The page is whole without this. It only puts in what the server sends when
// something changes: parts of the page as the server writes them itself.
"use strict";

const shown = new Map();
const live = document.getElementById("live");

function show(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const part = document.getElementById(id);
    if (part && shown.get(id) !== html) {
      part.innerHTML = html;
      shown.set(id, html);
    }
  }
}

function say(text, lost) {
  live.textContent = text;
  live.classList.toggle("lost", lost);
  live.hidden = false;
}

// A browser connects again by itself when a connection is cut. At an answer that is
// no stream it gives up: a proxy's, while the keeper is started again, or that too
// many pages are open.
function listen() {
  const events = new EventSource("events" + location.search);
  events.onopen = () => say("live", false);
  events.onerror = () => {
    say("not connected, trying again", true);
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(listen, 5000);
    }
  };
  events.addEventListener("parts", (event) => show(JSON.parse(event.data)));
}

listen();
