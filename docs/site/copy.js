/* What is copied of a console block is what was typed: no prompts, and nothing that was printed. */
"use strict";
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-clipboard-target]");
  const block = button && document.querySelector(button.dataset.clipboardTarget);
  if (!block?.querySelector(".gp")) return;
  const typed = block.cloneNode(true);
  typed.querySelectorAll(".gp, .go").forEach((span) => span.remove());
  const lines = typed.textContent.split("\n").filter((line) => line.trim());
  button.dataset.clipboardText = lines.join("\n") + "\n";
}, true);
