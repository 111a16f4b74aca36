/** What `bench compare` floods servers with: named combinations of the formats and orders of `bench pixels`. */
import type { PixelFormat, PixelOrder } from "./config.ts";
import { MIXED_KINDS } from "./pixel-patterns.ts";

/** One kind of flood. */
export interface Load {
  readonly format: PixelFormat;
  readonly order: PixelOrder;
  /** Compared with so many connections only, one of each kind. */
  readonly connections?: number;
  /** A load of as many bytes a pixel that peers are also measured by here: what they reach without blending. */
  readonly base?: LoadName;
}

/** Names of the loads. */
export const LOAD_NAMES = [
  "text-shuffled",
  "text-ordered",
  "text8-shuffled",
  "alpha-shuffled",
  "pb-shuffled",
  "multi",
  "get",
  "mixed",
] as const;
export type LoadName = (typeof LOAD_NAMES)[number];

/** The loads by name. Images are noise: a gradient's colours would help a parser that predicts. */
export const LOADS: Readonly<Record<LoadName, Load>> = {
  "text-shuffled": { format: "text", order: "shuffled" },
  "text-ordered": { format: "text", order: "ordered" },
  "text8-shuffled": { format: "text8", order: "shuffled" },
  "alpha-shuffled": { format: "alpha", order: "shuffled", base: "text8-shuffled" },
  "pb-shuffled": { format: "pb", order: "shuffled" },
  multi: { format: "multi", order: "ordered" },
  get: { format: "get", order: "shuffled" },
  mixed: { format: "mixed", order: "shuffled", connections: MIXED_KINDS.length },
};
