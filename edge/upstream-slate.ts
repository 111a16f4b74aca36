/**
 * Whether an upstream that shows its slate, because its source is away, is passed over: while another plainly has the
 * picture. Probes tell; a pass over and a return each take some time of probes that agree, so that a source which comes
 * and goes does not move viewers to and fro, and neither do two origins whose feed breaks for both at nearly one moment.
 */

/** For so long probes must agree, be it on the slate or on the picture, before what they say is acted on. */
const SETTLED_MS = 1_000;
/** For so long the picture must be there before others that have it, too, are left for it. */
const RETURN_MS = 5_000;
/** How the answer to a probe of an origin begins that shows its slate. Edges and others never say so. */
const SLATE_WORDS = "ready, slate:";

/** One upstream's slate. */
export class SlateWatch {
  #isShowing: boolean | undefined;
  #sinceMs = 0;
  #isPassedOver = false;

  /** True while others come before it. */
  get isPassedOver(): boolean {
    return this.#isPassedOver;
  }

  /** True where it has had the picture for a while. */
  hasPicture(nowMs: number): boolean {
    return this.#isShowing === false && nowMs - this.#sinceMs >= SETTLED_MS;
  }

  /**
   * Takes what a probe has found.
   *
   * @param hasElsewhere whether another upstream has the picture
   * @returns true where {@link isPassedOver} has changed
   */
  note({ isShowing, nowMs, hasElsewhere }: SlateFinding): boolean {
    if (isShowing !== this.#isShowing) this.#sinceMs = nowMs;
    this.#isShowing = isShowing;
    const ageMs = nowMs - this.#sinceMs;
    const was = this.#isPassedOver;
    if (isShowing && hasElsewhere && ageMs >= SETTLED_MS) this.#isPassedOver = true;
    if (!isShowing && ageMs >= (hasElsewhere ? RETURN_MS : SETTLED_MS)) this.#isPassedOver = false;
    return this.#isPassedOver !== was;
  }

  /** It does not answer or cannot serve: what it said before holds no more. */
  interrupt(): void {
    this.#isShowing = undefined;
  }
}

export interface SlateFinding {
  readonly isShowing: boolean;
  readonly nowMs: number;
  readonly hasElsewhere: boolean;
}

/** Whether the answer to a probe says that the slate is shown. Its first 16 bytes decide. */
export function saysSlate(body: string): boolean {
  return body.startsWith(SLATE_WORDS);
}
