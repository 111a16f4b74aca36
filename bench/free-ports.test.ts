/** Ports that are nobody else's. */
import { expect, test } from "bun:test";
import { freePorts } from "./free-ports.ts";

test.skipIf(process.platform !== "linux")(
  "freePorts() gives no port that another process of tests has been given",
  async () => {
    const script = `import { freePorts } from ${JSON.stringify(`${import.meta.dir}/free-ports.ts`)};
    console.log(JSON.stringify(Array.from({ length: 600 }, () => freePorts(1)[0])));
    await Bun.stdin.text();`;
    const other = Bun.spawn([process.execPath, "-e", script], { stdin: "pipe", stdout: "pipe" });
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of other.stdout) {
      text += decoder.decode(chunk, { stream: true });
      if (text.endsWith("\n")) break;
    }
    const theirs = JSON.parse(text) as number[];
    const ours = Array.from({ length: 300 }, () => freePorts(2)).flat();
    await other.stdin.end();
    expect(await other.exited).toBe(0);
    expect(new Set([...theirs, ...ours]).size).toBe(1_200);
  },
);
