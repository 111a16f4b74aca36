/**
 * The encoder's thread as the main thread holds it: a worker that takes orders and sends reports, and whose end is told
 * once, however it came about. `encoding.ts` decides what follows; tests put a scripted thread in its place.
 */
import type { EncoderOrder, EncoderReport } from "./encoder-messages.ts";

/** What a thread tells. Nothing comes after {@link EncoderThread.terminate}. */
export interface EncoderThreadEvents {
  readonly onReport: (report: EncoderReport) => void;
  /** It has ended by itself; `reason` is for a log line. */
  readonly onEnd: (reason: string) => void;
}

export interface EncoderThread {
  send(order: EncoderOrder): void;
  /** Ends it at once. Its native memory may be lost: order `end` first where it still answers. */
  terminate(): void;
}

export type OpenEncoderThread = (events: EncoderThreadEvents) => EncoderThread;

/** Starts the real thread, `encoder-thread.ts`. */
export const openEncoderThread: OpenEncoderThread = ({ onReport, onEnd }) => {
  const worker = new Worker(new URL("./encoder-thread.ts", import.meta.url));
  let isOver = false;
  const end = (reason: string): void => {
    if (isOver) return;
    isOver = true;
    onEnd(reason);
  };
  // Only encoder-thread.ts posts here, and only reports.
  worker.addEventListener("message", (event: MessageEvent<EncoderReport>) => {
    if (!isOver) onReport(event.data);
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    const reason = event.message.split("\n").find((line) => line.startsWith("error: ")) ?? event.message;
    end(reason);
  });
  worker.addEventListener("close", () => end("its thread ended"));
  return {
    // Nothing is transferred: the canvas's memory is shared.
    send: (order) => worker.postMessage(order, []),
    terminate() {
      isOver = true;
      worker.terminate();
    },
  };
};
