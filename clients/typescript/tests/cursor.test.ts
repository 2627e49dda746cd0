import assert from "node:assert/strict";
import { test } from "node:test";
import { Cursor } from "../src/cursor.js";

test("a recovery leaves the position where it was until its messages come", () => {
  const cursor = new Cursor("e:3");
  cursor.joined("e:5", true);
  assert.equal(cursor.position, "e:3");
  assert(cursor.message(4));
  assert.equal(cursor.position, "e:4");
});

test("what was delivered is not delivered again", () => {
  const cursor = new Cursor("e:3");
  cursor.joined("e:3", true);
  assert(cursor.message(4));
  assert(!cursor.message(4));
  assert(!cursor.message(3));
  assert.equal(cursor.position, "e:4");
});

test("a failed recovery keeps the old position until its gap is told", () => {
  const cursor = new Cursor("e:3");
  cursor.joined("f:1", false);
  assert.equal(cursor.position, "e:3");
  cursor.gap("f:1");
  assert.equal(cursor.position, "f:1");
  assert(cursor.message(2));
});

test("an answer moves the position only within its epoch, forward, and if it is no duplicate", () => {
  const cursor = new Cursor();
  cursor.joined("e:3", null);
  cursor.published("f:9", false);
  cursor.published("e:9", true);
  cursor.published("e:2", false);
  cursor.published(null, false);
  assert.equal(cursor.position, "e:3");
  cursor.published("e:4", false);
  assert.equal(cursor.position, "e:4");
});

test("rooms without history have no position and deliver all that comes", () => {
  const cursor = new Cursor();
  cursor.joined(null, null);
  assert(cursor.message(undefined));
  assert(cursor.message(undefined));
  assert.equal(cursor.position, null);
});
