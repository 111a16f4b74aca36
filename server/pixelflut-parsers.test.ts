/** Every parser of the server against the case table, its properties, and the rules that the table leaves open. */
import { describe, expect, test } from "bun:test";
import { COUNTER_NAMES, sumCounters } from "./counters.ts";
import { OPAQUE } from "./framebuffer.ts";
import { loadKernel } from "./kernel.ts";
import {
  checkCase,
  loadPixelflutCases,
  type PixelflutSubject,
  type SubjectFactory,
} from "./pixelflut-cases.ts";
import {
  LINE_BYTES_MAX,
  type ParserState,
  type PixelflutParser,
  type ProtocolOptions,
} from "./pixelflut-parser.ts";
import { parserEntries, type ParserEntry } from "./pixelflut-parsers.ts";
import { PIXELFLUT_PROPERTIES } from "./pixelflut-properties.ts";
import { encodeHelp, STOP_HELP_REPLY } from "./pixelflut-replies.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const PROTOCOL: ProtocolOptions = { alpha: "blend", outsideGets: "silent", isStrict: false };
/** Connections that STATS tells of. */
const OPEN_CONNECTIONS = 7;

interface Rig extends PixelflutSubject {
  readonly parser: PixelflutParser<ParserState>;
  /** A black canvas and zero counters. */
  readonly reset: () => void;
  readonly counted: () => Partial<ReturnType<typeof sumCounters>>;
}

function createRig(
  entry: ParserEntry,
  size: { readonly width: number; readonly height: number },
  protocol: Partial<ProtocolOptions> = {},
): Rig {
  const setting = { ...size, protocol: { ...PROTOCOL, ...protocol } };
  const { parser, framebuffer } = entry.create(setting);
  const [counters, others] = framebuffer.counters;
  if (counters === undefined) throw new Error("A framebuffer has counters");
  others?.add("accepted", OPEN_CONNECTIONS);
  return {
    parser,
    width: size.width,
    height: size.height,
    pixels: framebuffer.pixels,
    help: decoder.decode(encodeHelp(size, setting.protocol)),
    reset() {
      framebuffer.pixels.fill(OPAQUE);
      for (const name of COUNTER_NAMES) counters.add(name, -counters.read(name));
    },
    counted() {
      const { accepted: _, ...totals } = sumCounters(framebuffer.counters);
      return Object.fromEntries(Object.entries(totals).filter(([, value]) => value > 0));
    },
    connect() {
      const state = parser.open();
      let replies = "";
      return {
        send(bytes) {
          for (let rest = bytes; rest.length > 0 && state.phase === "open";) {
            rest = rest.subarray(parser.parse(state, rest, 0));
            replies += decoder.decode(parser.replies.view());
            parser.replies.clear();
          }
        },
        takeReplies() {
          const taken = replies;
          replies = "";
          return taken;
        },
      };
    },
  };
}

const cases = await loadPixelflutCases();
const entries = parserEntries(await loadKernel());

for (const entry of entries) {
  const createSubject: SubjectFactory = ({ width, height, alpha }) =>
    createRig(entry, { width, height }, { alpha });

  describe(`The ${entry.name} parser passes the case table`, () => {
    for (const testCase of cases) {
      if (!testCase.isComplete) continue;
      for (const alpha of testCase.alphas) {
        test(`${testCase.name}, alpha ${alpha}: whole, one byte a read, every cut in two`, () => {
          const { width, height } = testCase;
          expect(checkCase(createSubject({ width, height, alpha }), testCase)).toBeGreaterThan(0);
        });
      }
    }
  });

  describe(`The ${entry.name} parser keeps the table's rules over many inputs`, () => {
    test.each([...PIXELFLUT_PROPERTIES])("$name", ({ check }) => check(createSubject));
  });
}

/** Sends bytes whole, one by one and cut in two, checks that they agree, and returns the replies and the words of all pixels. */
function tell(
  entry: ParserEntry,
  text: string,
  protocol: Partial<ProtocolOptions> = {},
): { replies: string; pixels: string[] } {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const ways = [
    [bytes],
    Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)),
    ...cutsOf(bytes.length).map((cut) => [bytes.subarray(0, cut), bytes.subarray(cut)]),
  ];
  const rig = createRig(entry, { width: 4, height: 3 }, protocol);
  const outcomes = ways.map((segments) => {
    rig.reset();
    const connection = rig.connect();
    for (const segment of segments) connection.send(segment);
    const pixels = [...rig.pixels]
      .map((word, index) => `${index % 4},${Math.floor(index / 4)} ${word.toString(16)}`)
      .filter((pixel) => !pixel.endsWith(" ff000000"));
    return { replies: connection.takeReplies(), pixels, counted: rig.counted() };
  });
  const [first] = outcomes;
  if (first === undefined) throw new Error("There is always the whole way");
  for (const outcome of outcomes) expect(outcome).toEqual(first);
  return { replies: first.replies, pixels: first.pixels };
}

/** Every position to cut at, of a long input those near its ends and a few between. */
function cutsOf(length: number): number[] {
  const near = 40;
  return Array.from({ length: Math.max(0, length - 1) }, (_, index) => index + 1).filter(
    (cut) => cut < near || length - cut < near || cut % 97 === 0,
  );
}

const line = (length: number, command: string): string =>
  command.replace("~", " ".repeat(length - command.length + 1));

describe.each([...entries])("$name parser: rules that the table leaves open", (entry) => {
  test.each([
    [
      "a line of the greatest length is carried out",
      `${line(LINE_BYTES_MAX, "PX 1 1~010203")}\n`,
      ["1,1 ff030201"],
    ],
    ["CR counts for the length of a line", `${line(LINE_BYTES_MAX, "PX 1 1~010203")}\r\n`, []],
    [
      "a valid line that is one byte too long is dropped",
      `${line(LINE_BYTES_MAX + 1, "PX 1 1~010203")}\n`,
      [],
    ],
    ["leading blanks are allowed for text", " \t PX 1 1 010203\n", ["1,1 ff030201"]],
    ["leading blanks are not allowed for PB", " PB\x01\x00\x01\x00\x01\x02\x03\xff\n", []],
    [
      "leading blanks are not allowed for PXMULTI",
      " PXMULTI\x01\x00\x01\x00\x01\x00\x00\x00\x01\x02\x03\x00\n",
      [],
    ],
    ["tabs separate fields", "PX\t1\t \t1\t010203\t\n", ["1,1 ff030201"]],
    ["only one CR before LF is dropped", "PX 1 1 010203\r\r\n", []],
    ["the verb needs a blank", "PX1 1 010203\nPXX 1 1 010203\n", []],
    ["lower-case verbs are no commands", "px 1 1 010203\n", []],
    [
      "a sign makes a coordinate negative, zero too",
      "OFFSET 2 2\nPX -1 -1 010203\nPX -0 0 010203\nPX +1 1 010203\n",
      [],
    ],
    ["OFFSET may be negative", "OFFSET -10 -20\nPX 11 21 010203\n", ["1,1 ff030201"]],
    [
      "a malformed OFFSET changes nothing",
      "OFFSET 1 1\nOFFSET 2\nOFFSET 2 a\nOFFSET 1 2 3\nOFFSET\nPX 0 0 010203\n",
      ["1,1 ff030201"],
    ],
    ["a huge negative OFFSET never reaches back", "OFFSET -99999999999 0\nPX 99999999999 0 010203\n", []],
    [
      "PB directly after SIZE is at a command boundary",
      "SIZEPB\x01\x00\x01\x00\x01\x02\x03\xff",
      ["1,1 ff030201"],
    ],
    ["PXMULTI checks x alone too", "PXMULTI\x04\x00\x00\x00\x01\x00\x00\x00\x01\x02\x03\x00", []],
    [
      "PXMULTI of no pixels is nothing",
      "PXMULTI\x00\x00\x00\x00\x00\x00\x00\x00PX 1 1 010203\n",
      ["1,1 ff030201"],
    ],
    [
      "PXMULTI to the last pixel",
      "PXMULTI\x02\x00\x02\x00\x02\x00\x00\x00\x01\x02\x03\x00\x04\x05\x06\x00",
      ["2,2 ff030201", "3,2 ff060504"],
    ],
    [
      "lines in a run of PX that are like it but for their first bytes",
      `PX 0 0\nX 2 2 010203\n${"PX 1 1 010203\n".repeat(50)}QX 2 0 010203\n${"PX 1 1 010203\n".repeat(50)}`,
      ["1,1 ff030201"],
    ],
    [
      "PXMULTI keeps the pixels that came before the end",
      "PXMULTI\x00\x00\x00\x00\x03\x00\x00\x00\x01\x02\x03\x00\x04\x05",
      ["0,0 ff030201"],
    ],
  ] as const)("%s", (_, text, pixels) => {
    expect(tell(entry, text).pixels).toEqual([...pixels]);
  });

  test.each([
    ["SIZE is answered at its last byte, within the longest line", `${" ".repeat(1_020)}SIZE`, "SIZE 4 3\n"],
    ["SIZE beyond the longest line is not answered", `${" ".repeat(1_021)}SIZE\n`, ""],
    [
      "SIZE begins a new line: what follows has the whole length",
      `SIZE${"A".repeat(1_024)}\nSIZE\n`,
      "SIZE 4 3\nSIZE 4 3\n",
    ],
    [
      "a get answers the coordinates as sent, without OFFSET",
      "OFFSET 1 1\nPX 1 1 0a0b0c\nPX 001 01\n",
      "PX 1 1 0a0b0c\n",
    ],
    ["a get with a negative OFFSET", "OFFSET -100 0\nPX 101 0\n", "PX 101 0 000000\n"],
    [
      "STATS counts what came before it",
      "PX 1 1 010203\nPX 9 9 010203\nPX 1 1 01020300\nSTATS\nSTATS \r\n",
      "STATS px:2 conn:7\nSTATS px:2 conn:7\n",
    ],
    ["STATS and QUIT take no argument", "STATS x\nQUIT x\nSIZE", "SIZE 4 3\n"],
    ["QUIT ends the connection's commands", "SIZE\nQUIT\nSIZE\n", "SIZE 4 3\n"],
    ["GET is a mistake after the first line", "\nGET / HTTP/1.1\nSIZE", "SIZE 4 3\n"],
  ] as const)("%s", (_, text, replies) => {
    expect(tell(entry, text).replies).toBe(replies);
  });

  test("outsideGets black answers with the numbers as sent, in canonical decimal", () => {
    const { replies } = tell(entry, "PX 004 99999999999999999999\nPX -07 -0\nPX 0 0\n", {
      outsideGets: "black",
    });
    expect(replies).toBe("PX 4 99999999999999999999 000000\nPX -7 -0 000000\nPX 0 0 000000\n");
  });

  test("isStrict answers the first mistake and ends", () => {
    const { replies } = tell(entry, "SIZE\n\nPX 9 9 010203\nPX 1 1 fff\nSIZE\n", { isStrict: true });
    expect(replies).toBe("SIZE 4 3\nERR unknown or malformed command\n");
  });
});

describe.each([...entries])("$name parser", (entry) => {
  test("parse() leaves a browser's request to the caller", () => {
    const { parser } = createRig(entry, { width: 4, height: 3 });
    for (const cut of [0, 1, 2, 3]) {
      const state = parser.open();
      const bytes = encoder.encode("GET /x HTTP/1.1\r\n");
      const before = cut === 0 ? 0 : parser.parse(state, bytes.subarray(0, cut), 0);
      const taken = before + parser.parse(state, bytes.subarray(before), 0);
      expect({ taken, phase: state.phase }).toEqual({ taken: 4, phase: "http" });
    }
  });

  test("parse() answers three HELPs a second, then one refusal, then nothing", () => {
    const rig = createRig(entry, { width: 4, height: 3 });
    const state = rig.parser.open();
    const ask = (nowMs: number): string => {
      rig.parser.parse(state, encoder.encode("HELP\n"), nowMs);
      const reply = decoder.decode(rig.parser.replies.view());
      rig.parser.replies.clear();
      return reply;
    };
    const refusal = decoder.decode(STOP_HELP_REPLY);
    const { help } = rig;
    expect([0, 1, 2, 3, 4, 999, 1_000, 1_001].map(ask)).toEqual([
      help,
      help,
      help,
      refusal,
      "",
      "",
      help,
      help,
    ]);
    expect(help).toContain("4 x 3");
    expect(help.length).toBeLessThan(2_048);
    expect(rig.counted()).toEqual({ refusedHelps: 3 });
  });

  test("parse() stops where a reply has no room and goes on from there, also within a tail", () => {
    const rig = createRig(entry, { width: 4, height: 3 });
    const { parser } = rig;
    const text = `PX 1 1 010203\n${"PX 1 1\nSIZE".repeat(5_000)}\nPX 2 2 010203\n`;
    const expected = "PX 1 1 010203\nSIZE 4 3\n".repeat(5_000);
    for (const segmentBytes of [text.length, 3, 1_000]) {
      const state = parser.open();
      let replies = "";
      let rounds = 0;
      for (let start = 0; start < text.length; start += segmentBytes) {
        let rest = encoder.encode(text.slice(start, start + segmentBytes));
        while (rest.length > 0) {
          const taken = parser.parse(state, rest, 0);
          if (taken === rest.length) break;
          rest = rest.subarray(taken);
          replies += decoder.decode(parser.replies.view());
          parser.replies.clear();
          rounds += 1;
        }
      }
      replies += decoder.decode(parser.replies.view());
      parser.replies.clear();
      expect(rounds).toBeGreaterThan(0);
      expect(replies).toBe(expected);
    }
  });

  test("parse() counts every set, get and mistake once", () => {
    const rig = createRig(entry, { width: 4, height: 3 });
    const text = [
      "PX 0 0 ff\nPX 1 1 010203\nPX 1 1 01020300\nPX 1 1 01020380\nPX 4 0 ff\nPX -1 0 ff\nPX 0 0\nPX 9 9\n",
      "OFFSET 9 9\nPX 0 0 ff\nnonsense\nPX 1 1 fff\n\n \n",
      "PB\x01\x00\x01\x00\x01\x02\x03\xffPB\x09\x00\x01\x00\x01\x02\x03\xff",
      "PXMULTI\x00\x00\x00\x00\x02\x00\x00\x00\x01\x02\x03\x00\x04\x05\x06\x00",
      "PXMULTI\x00\x00\x03\x00\x02\x00\x00\x00\x01\x02\x03\x00\x04\x05\x06\x00",
      `${"B".repeat(2_000)}\n`,
    ].join("");
    rig.connect().send(Uint8Array.from(text, (character) => character.charCodeAt(0)));
    expect(rig.counted()).toEqual({
      pixels: 7,
      outsideSets: 6,
      gets: 1,
      outsideGets: 1,
      invalidLines: 2,
      longLines: 1,
    });
  });
});
