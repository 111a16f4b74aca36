/** Options of `bench encode`. */
import {
  choice,
  decimal,
  integer,
  list,
  ValueError,
  type ConfigOf,
  type OptionSet,
} from "#common/options.ts";
import { X264_PRESETS } from "../server/renditions.ts";
import { CANVAS_SCENES, type CanvasScene } from "./canvas-scenes.ts";
import { shared } from "./config.ts";

const SIDE_MIN = 16;
const SIDE_MAX = 4096;

/** Options of `bench encode`. */
export const encodeOptions = {
  width: integer({
    table: "top",
    description: "Width of the canvas in pixels, even.",
    default: 1280,
    min: SIDE_MIN,
    max: SIDE_MAX,
  }),
  height: integer({
    table: "top",
    description: "Its height, even.",
    default: 720,
    min: SIDE_MIN,
    max: SIDE_MAX,
  }),
  fps: integer({ table: "top", description: "Frames a second.", default: 30, min: 1, max: 120 }),
  kbit: integer({
    table: "top",
    description: "Highest bit rate, in kbit/s.",
    default: 6_000,
    min: 50,
    max: 200_000,
  }),
  preset: choice({
    table: "top",
    description: "x264's preset, of both encoders.",
    choices: X264_PRESETS,
    default: "superfast",
  }),
  seconds: decimal({
    table: "top",
    description: "Length of the video.",
    default: 5,
    min: 0.1,
    max: 600,
  }),
  rounds: integer({
    table: "top",
    description: "How often each encodes it, in alternation; medians are taken of processor time.",
    default: 5,
    min: 1,
    max: 100,
  }),
  scenes: list<CanvasScene>(
    {
      table: "top",
      description:
        "What the canvas shows: pictures and text that stand still, noise all over, or a flood that paints one picture over the other. May be given several times.",
      default: CANVAS_SCENES,
      defaultText: CANVAS_SCENES.join(", "),
    },
    { allowed: `one of ${CANVAS_SCENES.join(", ")}`, valueName: "<scene>", read: readScene },
  ),
  ...shared,
} satisfies OptionSet;
export type EncodeConfig = ConfigOf<typeof encodeOptions>;

function readScene(text: string): CanvasScene {
  const scene = CANVAS_SCENES.find((known) => known === text);
  if (scene === undefined) throw new ValueError(`one of ${CANVAS_SCENES.join(", ")}`);
  return scene;
}
