/**
 * The server is killed or stands still, and the stream goes on: with a slate, numbers and times without a hole, in what
 * ffmpeg reads, by the rules of HLS, and at two origins alike.
 */
import { expect, test } from "bun:test";
import { systemClock } from "#common/clock.ts";
import { checkHls } from "../bench/hls-check.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, isOk, metric, Program, Spillway, TemporaryFolder, waitFor } from "./harness.ts";

/** Of a server as it is started here. */
const FPS = 30;
const SWITCHES = "spillway_origin_source_switches_total";

async function originMetric(spillway: Spillway, series: string): Promise<number> {
  return metric(await getText(`${spillway.origin}/metrics`), series);
}

/** Resolves when the slate was shown, and the source is again. */
async function bothSwitches(spillway: Spillway): Promise<void> {
  await waitFor("the slate", async () => (await originMetric(spillway, `${SWITCHES}{to="slate"}`)) >= 1);
  await waitFor("the source again", async () => {
    const page = await getText(`${spillway.origin}/metrics`);
    const [slate = 0, source = 0] = ["slate", "source"].map((to) => metric(page, `${SWITCHES}{to="${to}"}`));
    return slate === source;
  });
}

async function segmentCount(url: string): Promise<number> {
  return ((await getText(url)).match(/#EXTINF/g) ?? []).length;
}

/** Resolves when somebody reads `stream.ts`, and a playlist has gone on by a segment since. */
async function untilReading(viewers: () => Promise<number>, playlist: string): Promise<void> {
  await waitFor("a viewer", async () => (await viewers()) >= 1);
  const newest = async (): Promise<string | undefined> =>
    (await getText(playlist)).match(/^[0-9a-f]{8}-.*$/gm)?.at(-1);
  const before = await newest();
  await waitFor("another segment", async () => (await newest()) !== before);
}

/** Reads `seconds` of a stream; ffmpeg stops at the first error of any kind. Resolves with what it said. */
async function readStrictly(url: string, seconds: number): Promise<string> {
  const strict = ["-v", "error", "-xerror", "-err_detect", "explode"];
  const program = Bun.spawn(["ffmpeg", ...strict, "-i", url, "-t", String(seconds), "-f", "null", "-"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said = await new Response(program.stderr).text();
  return `${await program.exited} ${said}`.trim();
}

test.concurrent.skipIf(Bun.which("ffmpeg") === null)(
  "13, 42, 44: ffmpeg reads each kind of stream through the death of the server, and nothing breaks a rule",
  async () => {
    await using spillway = new Spillway(["--spread=off"], 1);
    await spillway.ready();
    const base = `${spillway.edge()}/live/canvas/180p`;
    await waitFor("four segments", async () => (await segmentCount(`${base}/index.m3u8`)) >= 4);
    const { signal } = new AbortController();
    const checks = ["index.m3u8", "ts.m3u8"].map((file) => {
      const url = `${spillway.origin}/live/canvas/${file}`;
      return checkHls({ url, seconds: 8, clock: systemClock, signal, isInsecure: false });
    });
    const readings = ["index.m3u8", "ts.m3u8", "stream.ts"].map((file) =>
      readStrictly(`${base}/${file}`, 14),
    );
    const viewers = async (): Promise<number> =>
      metric(await getText(`${spillway.edge()}/metrics`), 'spillway_edge_viewers{kind="ts"}');
    await untilReading(viewers, `${base}/index.m3u8`);
    await spillway.killChild("server");
    await bothSwitches(spillway);
    for (const { findings, segmentGapMs, segmentGapMsMax } of await Promise.all(checks)) {
      expect(findings).toEqual([]);
      // A machine that has other things to do makes it longer.
      expect(segmentGapMs).toBeLessThan(2 * segmentGapMsMax);
    }
    expect(await Promise.all(readings)).toEqual(["0", "0", "0"]);
    expect(await originMetric(spillway, "spillway_origin_list_restarts_total")).toBe(0);
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const text = await getText(`${base}/${file}`);
      expect(text).toMatch(/-s\.(m4s|ts)\n/);
      expect(text).not.toContain("EXT-X-GAP");
    }
  },
  120_000,
);

test.concurrent(
  "10, 11: a server that stands still for four seconds leaves no hole",
  async () => {
    await using spillway = new Spillway(["--spread=off"], 0);
    const url = `${spillway.origin}/live/canvas/180p/index.m3u8`;
    await waitFor("four segments", async () => (await segmentCount(url)) >= 4);
    const server = await waitFor("the server", () => spillway.childPid("server"));
    const { signal } = new AbortController();
    const multivariant = `${spillway.origin}/live/canvas/index.m3u8`;
    const check = checkHls({ url: multivariant, seconds: 9, clock: systemClock, signal, isInsecure: false });
    process.kill(server, "SIGSTOP");
    try {
      await waitFor("the slate to be noticed", async () =>
        (await getText(`${spillway.origin}/readyz`)).startsWith("ready, slate: "),
      );
      const renditions = (await getText(multivariant)).match(/#EXT-X-STREAM-INF/g)?.length ?? 1;
      await waitFor("three seconds of the slate", async () => {
        const frames = await originMetric(spillway, "spillway_origin_slate_frames_total");
        return frames >= 3 * FPS * renditions;
      });
    } finally {
      process.kill(server, "SIGCONT");
    }
    await bothSwitches(spillway);
    const { findings, segmentGapMs, segmentGapMsMax } = await check;
    expect(findings).toEqual([]);
    expect(segmentGapMs).toBeLessThan(2 * segmentGapMsMax);
    expect(await originMetric(spillway, "spillway_origin_list_restarts_total")).toBe(0);
    expect(await getText(url)).not.toContain("EXT-X-GAP");
  },
  120_000,
);

test.concurrent(
  "8, 55: two origins have the same bytes under every name, before and after an outage",
  async () => {
    await using spillway = new Spillway([], 0);
    using folder = new TemporaryFolder();
    const [port = 0] = freePorts(1);
    const source = `${spillway.server}/feed.mp4`;
    await using _other = new Program([
      "origin",
      ...flags({ "origin-port": port, source, "data-dir": folder.path }),
    ]);
    const origins = [spillway.origin, `http://127.0.0.1:${port}`];
    for (const origin of origins) await waitFor("an origin to be ready", () => isOk(`${origin}/readyz`));
    await waitFor(
      "three segments",
      async () => (await segmentCount(`${origins[1]}/live/canvas/180p/index.m3u8`)) >= 3,
    );
    await spillway.killChild("server");
    await bothSwitches(spillway);
    const base = "/live/canvas/180p";
    const names = async (origin: string, file: string): Promise<string[]> => {
      const text = await getText(`${origin}${base}/${file}`);
      return [...text.matchAll(/^[0-9a-f]{8}-.*$|(?<=MAP:URI=")[^"]+/gm)].map(([name]) => name);
    };
    for (const file of ["index.m3u8", "ts.m3u8"]) {
      const lists = await waitFor(`${file} with two runs at both`, async () => {
        const found = await Promise.all(origins.map((origin) => names(origin, file)));
        const runs = found.map(
          (list) =>
            new Set(list.filter((name) => !name.includes("-s.")).map((name) => name.slice(0, 8))).size,
        );
        return runs.every((count) => count === 2) && found;
      });
      const [mine = [], others = []] = lists.map((list) => list.filter((name) => !name.includes("-s.")));
      const common = mine.filter((name) => others.includes(name));
      expect(common.length).toBeGreaterThan(3);
      for (const name of new Set(common)) {
        const [one, two] = await Promise.all(
          origins.map(async (origin) => (await fetch(`${origin}${base}/${name}`)).bytes()),
        );
        expect({
          name,
          isSame: one !== undefined && two !== undefined && Buffer.from(one).equals(two),
        }).toEqual({
          name,
          isSame: true,
        });
      }
    }
  },
  120_000,
);

test.concurrent.skipIf(Bun.which("ffmpeg") === null)(
  "13, 42, 44: ffmpeg reads each kind of stream of an MPEG-TS source that dies and comes back",
  async () => {
    await using spillway = new Spillway([], 0);
    await waitFor("the server", () => isOk(`${spillway.server}/readyz`));
    using folder = new TemporaryFolder();
    const [port = 0] = freePorts(1);
    const source = `${spillway.server}/feed.ts`;
    const args = flags({ "origin-port": port, source, "data-dir": folder.path });
    await using _origin = new Program(["origin", ...args]);
    const origin = `http://127.0.0.1:${port}`;
    const base = `${origin}/live/canvas/source`;
    await waitFor("the origin to be ready", () => isOk(`${origin}/readyz`));
    await waitFor("three segments", async () => (await segmentCount(`${base}/index.m3u8`)) >= 3);
    const readings = ["index.m3u8", "ts.m3u8", "stream.ts"].map((file) =>
      readStrictly(`${base}/${file}`, 12),
    );
    const viewers = async (): Promise<number> =>
      metric(await getText(`${origin}/metrics`), "spillway_origin_ts_viewers");
    await untilReading(viewers, `${base}/index.m3u8`);
    await spillway.killChild("server");
    await waitFor("source and slate", async () => {
      const page = await getText(`${origin}/metrics`);
      return ["slate", "source"].every((to) => metric(page, `${SWITCHES}{to="${to}"}`) >= 1);
    });
    expect(await Promise.all(readings)).toEqual(["0", "0", "0"]);
    expect(metric(await getText(`${origin}/metrics`), "spillway_origin_list_restarts_total")).toBe(0);
    expect(await getText(`${base}/ts.m3u8`)).toMatch(/DISCONTINUITY\n(?:#.*\n)*[0-9a-f]{8}-\d+-s\.ts\n/);
  },
  120_000,
);
