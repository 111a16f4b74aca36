/** TLS in whole processes: `start` with a certificate on its edges, every role alone with one, and mistakes at start. */
import { afterAll, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { connect } from "node:tls";
import { createSelfSigned } from "#common/formats/fixtures/self-signed.ts";
import { CHROMIUM } from "./spectator.ts";
import { FakeLiveOrigin } from "./fake-live-origin.ts";
import { freePorts } from "../bench/free-ports.ts";
import { flags, getText, isOk, metric, Program, Spillway, TemporaryFolder, waitFor } from "./harness.ts";

const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const FILES = { "tls-cert": `${folder.path}/cert.pem`, "tls-key": `${folder.path}/key.pem` };
const certificate = createSelfSigned("localhost");
await Bun.write(FILES["tls-cert"], certificate.cert);
await Bun.write(FILES["tls-key"], certificate.key);

if (CHROMIUM === null)
  console.warn("SKIPPED: no browser plays over HTTP/2, there is no chromium on this machine");

/** Where a GET to the players' port is sent on to. */
async function redirectOf(port: number): Promise<string | null> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { redirect: "manual" });
  return response.headers.get("location");
}

test("53: start shows the certificate at its edges alone, and every address says so", async () => {
  await using spillway = new Spillway(flags(FILES), 1);
  await spillway.ready();
  const port = spillway.ports.edges[0] ?? 0;
  await waitFor("the welcome", () => spillway.program.output.includes("metrics"));
  expect(spillway.program.output).toContain(`watch    https://localhost:${port}/\n`);
  expect(spillway.program.output).toContain(`play     https://localhost:${port}/live/canvas/index.m3u8\n`);
  expect(await isOk(`${spillway.origin}/readyz`)).toBe(true);
  expect(await isOk(`${spillway.server}/readyz`)).toBe(true);
  expect(await redirectOf(spillway.ports.pixelflut)).toBe(`https://127.0.0.1:${port}/`);
  const listed = await waitFor("the edge's lease", async () => {
    const [edge] = JSON.parse(await getText(`${spillway.origin}/api/v1/edges`)) as { url: string }[];
    return edge?.url;
  });
  expect(listed).toBe(`https://127.0.0.1:${port}`);
  expect(await getText(`${spillway.origin}/live/canvas/index.m3u8`)).toContain(
    `\nhttps://127.0.0.1:${port}/live/canvas/180p/index.m3u8`,
  );
  if (CHROMIUM !== null) expect(await playInBrowser(`${spillway.edge()}/`)).toBe("h2");
});

test.skipIf(CHROMIUM === null)("53: a browser that uses HTTP/3 plays all of it over that", async () => {
  await using spillway = new Spillway(flags(FILES), 1);
  await spillway.ready();
  using profile = new TemporaryFolder();
  const host = `localhost:${spillway.ports.edges[0]}`;
  const publicKey = new X509Certificate(certificate.cert).publicKey.export({ type: "spki", format: "der" });
  const switches = [
    `--origin-to-force-quic-on=${host}`,
    // Over QUIC Chromium takes a certificate that nobody signed only by its key, and in a profile of its own.
    `--ignore-certificate-errors-spki-list=${createHash("sha256").update(publicKey).digest("base64")}`,
    `--user-data-dir=${profile.path}`,
  ];
  expect(await playInBrowser(`https://${host}/`, switches)).toBe("h3");
});

/** Opens the page, waits until the picture moves, and resolves with the protocols by which everything came. */
async function playInBrowser(url: string, switches: readonly string[] = []): Promise<string> {
  const script = join(import.meta.dir, "page-protocols.ts");
  const browser = Bun.spawn([process.execPath, script, url, ...switches], { stdout: "pipe" });
  return new Response(browser.stdout).text();
}

test("53: every role alone has a certificate, and trusts the others' by NODE_EXTRA_CA_CERTS", async () => {
  const [pixelflut = 0, server = 0, origin = 0, edge = 0] = freePorts(4);
  const trust = { NODE_EXTRA_CA_CERTS: FILES["tls-cert"] };
  const at = (port: number): string => `https://localhost:${port}`;
  const size = { width: 320, height: 180, "data-dir": folder.path };
  await using _server = new Program([
    "server",
    ...flags({ ...FILES, ...size, "server-port": server, "pixelflut-port": pixelflut }),
  ]);
  const source = `${at(server)}/feed.mp4`;
  await using _origin = new Program(
    ["origin", ...flags({ ...FILES, "origin-port": origin, source, "data-dir": folder.path })],
    trust,
  );
  const edgeFlags = flags({ ...FILES, "edge-port": edge, upstream: at(origin), "data-dir": folder.path });
  await using _edge = new Program(["edge", ...edgeFlags], trust);
  await waitFor("the edge to be ready", () => isOk(`${at(edge)}/readyz`));
  const listed = await waitFor("the lease", async () => {
    const edges = JSON.parse(await getText(`${at(origin)}/api/v1/edges`)) as { url: string }[];
    return edges[0]?.url;
  });
  expect(listed).toBe(at(edge));
  expect(await getText(`${at(edge)}/live/canvas/180p/index.m3u8`)).toContain("#EXT-X-PART:");
});

test.each([
  ["one process", "1"],
  ["two workers", "2"],
])(
  "an edge of %s shows a renewed certificate on SIGHUP, and goes on with the old one while the new cannot be used",
  async (_, workers) => {
    using own = new TemporaryFolder();
    const files = { "tls-cert": `${own.path}/cert.pem`, "tls-key": `${own.path}/key.pem` };
    const write = async ({ cert, key }: typeof certificate): Promise<void> => {
      await Promise.all([Bun.write(files["tls-cert"], cert), Bun.write(files["tls-key"], key)]);
    };
    await write(certificate);
    await using origin = new FakeLiveOrigin();
    const [port = 0] = freePorts(1);
    const settings = { ...files, "edge-port": port, "edge-workers": workers, upstream: origin.url };
    await using edge = new Program(["edge", ...flags(settings)]);
    await waitFor("the edge to be ready", () => isOk(`https://127.0.0.1:${port}/readyz`));
    await waitFor("its lease, when all workers listen", () => origin.load?.state === "ready");
    // Each worker is met by some of these.
    const shown = async (): Promise<string[]> => [
      ...new Set(await Promise.all(Array.from({ length: 8 }, () => shownCertificate(port)))),
    ];
    expect(await shown()).toEqual([contentOf(certificate)]);

    const renewed = createSelfSigned("localhost");
    await write(renewed);
    edge.process.kill("SIGHUP");
    const showsOnlyRenewed = async (): Promise<boolean> => (await shown()).join(" ") === contentOf(renewed);
    await waitFor("the new certificate", showsOnlyRenewed);
    await Bun.write(files["tls-key"], certificate.key);
    edge.process.kill("SIGHUP");
    await waitFor("the warning", () => edge.errors.includes("The certificate stays as it was: The key in"));
    await waitFor("the new certificate alone", showsOnlyRenewed);
    expect(await isOk(`https://127.0.0.1:${port}/healthz`)).toBe(true);
    const page = await getText(`https://127.0.0.1:${port}/metrics`);
    expect(metric(page, "spillway_edge_tls_expiry_timestamp_seconds")).toBe(Date.UTC(2120, 0, 1) / 1_000);
  },
);

/** What a new connection is shown, in base64. */
function shownCertificate(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().raw.toBase64());
    socket.destroy();
  });
  socket.on("error", reject);
  return promise;
}

function contentOf({ cert }: typeof certificate): string {
  return cert.replaceAll(/-----[A-Z ]+-----|\n/g, "");
}

test("an origin that does not trust its source says so, and what would help", async () => {
  const [origin = 0] = freePorts(1);
  const source = Bun.serve({ port: 0, hostname: "127.0.0.1", tls: certificate, fetch: () => new Response() });
  const from = `https://localhost:${source.port}/feed.mp4`;
  await using _origin = new Program([
    "origin",
    ...flags({ "origin-port": origin, source: from, "data-dir": folder.path }),
  ]);
  await waitFor("the reason", async () => {
    const response = await fetch(`http://127.0.0.1:${origin}/readyz`);
    return (await response.text()).includes("certificate is not trusted (NODE_EXTRA_CA_CERTS)");
  });
  await source.stop(true);
});

test.each([
  [["edge", "--tls-cert=cert.pem"], "Option --tls-cert needs --tls-key"],
  [
    ["origin", ...flags({ ...FILES, "tls-key": "/nowhere/key.pem" })],
    "Cannot read --tls-key /nowhere/key.pem",
  ],
  [["start", ...flags({ ...FILES, "tls-key": FILES["tls-cert"] })], "No private key in --tls-key"],
  [["start", "--edges=0", ...flags(FILES)], "--tls-cert is for the edges of `start`, and --edges is 0"],
])("%j ends at once with one line", async (args, message) => {
  await using program = new Program(args);
  expect(await program.ended()).toBe(2);
  expect(program.errors).toContain(message);
  expect(program.errors.trim().split("\n")).toHaveLength(1);
});
