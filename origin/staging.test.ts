/** Renditions stay in step, and none stops the others for long. */
import { describe, expect, test } from "bun:test";
import { Staging } from "./staging.ts";

function open(): { staging: Staging; done: string[]; add: (number: number) => void } {
  const staging = new Staging();
  const done: string[] = [];
  const add = (number: number): void =>
    staging.add({
      number,
      apply: () => void done.push(`apply ${number}`),
      publish: () => void done.push(`publish ${number}`),
    });
  return { staging, done, add };
}

describe("Staging", () => {
  test("27: shows changes once all renditions have got there, made before the first is shown", () => {
    const { staging, done, add } = open();
    add(5);
    expect(staging.advance({ fps: 30, newest: 5, slowest: 4 })).toBe(false);
    add(5);
    add(11);
    expect(staging.advance({ fps: 30, newest: 11, slowest: 5 })).toBe(true);
    expect(done).toEqual(["apply 5", "apply 5", "publish 5", "publish 5"]);
    expect(staging.advance({ fps: 30, newest: 11, slowest: 10 })).toBe(false);
  });

  test("11: a rendition that brings nothing delays the others by half a second", () => {
    const { staging, done, add } = open();
    add(5);
    expect(staging.advance({ fps: 30, newest: 19, slowest: 0 })).toBe(false);
    expect(staging.advance({ fps: 30, newest: 20, slowest: 0 })).toBe(true);
    expect(done).toEqual(["apply 5", "publish 5"]);
  });

  test("flush() shows all that is left", () => {
    const { staging, done, add } = open();
    add(5);
    add(11);
    expect(staging.flush()).toBe(true);
    expect(done).toEqual(["apply 5", "apply 11", "publish 5", "publish 11"]);
    expect(staging.flush()).toBe(false);
  });
});
