/** The line to paint with, and the button that copies it: also on plain http, where there is no clipboard API. */
import { formatPaintLine } from "./format.ts";

export interface PaintElements {
  readonly line: HTMLElement;
  readonly copyButton: HTMLButtonElement;
}

const COPY = "Copy";
const COPIED_MS = 1_500;

/** Wires the copy button. */
export function setUpCopy({ line, copyButton }: PaintElements): void {
  copyButton.addEventListener("click", () => {
    void copy(line).then((isCopied) => {
      copyButton.textContent = isCopied ? "Copied" : "Selected";
      setTimeout(() => {
        copyButton.textContent = COPY;
      }, COPIED_MS);
    });
  });
}

/** Shows the line for a Pixelflut server on `port` of the host that the page came from. */
export function showPaintLine({ line, copyButton }: PaintElements, port: number): void {
  const text = formatPaintLine({ hostname: location.hostname, port });
  // Written only when it changes: a selection in it survives.
  if (line.textContent !== text) line.textContent = text;
  copyButton.disabled = false;
}

/** Resolves with false where the text could only be selected, for the viewer to copy by hand. */
async function copy(line: HTMLElement): Promise<boolean> {
  if (navigator.clipboard !== undefined) {
    try {
      await navigator.clipboard.writeText(line.textContent ?? "");
      return true;
    } catch {
      return copySelected(line);
    }
  }
  return copySelected(line);
}

function copySelected(line: HTMLElement): boolean {
  getSelection()?.selectAllChildren(line);
  // Deprecated, and the only way where the page is not a secure context.
  return document.execCommand("copy");
}
