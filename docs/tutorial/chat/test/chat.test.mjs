// The tutorial as it stands, from the contract to two browsers: they talk, one goes offline and comes back without a
// loss, presence is right; the bot answers. ROOMCAST, PYTHON: the commands, default those of the project's .venv; CHROMIUM: default /usr/bin/chromium.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { preview } from "vite";
import { Network } from "./network.mjs";

const chat = fileURLToPath(new URL("..", import.meta.url));
const contract = join(chat, "../contract.yaml");
const venv = join(chat, "../../../.venv/bin/roomcast");
const roomcast = process.env.ROOMCAST ?? (existsSync(venv) ? venv : "roomcast");
const place = mkdtempSync(join(tmpdir(), "rct-"));
const python = process.env.PYTHON ?? (existsSync(venv) ? join(venv, "../python") : "python3");
const run = (...options) => execFileSync(roomcast, [...options, "--data-dir", place], { encoding: "utf8" });

let node;
let site;
let browser;
let port;

before(async () => {
  port = await freePort();
  const { api_key } = JSON.parse(run("tenant", "create", "demo", "--json"));
  run("contract", "apply", contract, "--tenant", "demo");
  node = spawn(roomcast, ["serve", "--port", port, "--data-dir", place], { stdio: ["ignore", "ignore", "inherit"] });
  await serves(`http://127.0.0.1:${port}/health/ready`);
  process.env.ROOMCAST_API_KEY = api_key;
  process.env.ROOMCAST_URL = `http://127.0.0.1:${port}`;
  site = await preview({ root: chat, preview: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
});

after(async () => {
  await browser?.close();
  await site?.close();
  node?.kill("SIGTERM");
  if (node && node.exitCode === null) await once(node, "exit");
  rmSync(place, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function serves(url) {
  for (let tries = 0; tries < 300; tries++) {
    const isReady = await fetch(url).then((answer) => answer.ok, () => false);
    if (isReady) return;
    await sleep(200);
  }
  throw new Error(`${url} does not answer`);
}

/** A browser of its own for `user`, behind a network of its own. */
async function open(context, user) {
  const network = await Network.open(port);
  const window = await browser.newContext();
  const page = await window.newPage();
  const failures = [];
  page.on("pageerror", (error) => failures.push(error));
  context.after(async () => {
    await window.close();
    network.close();
    assert.deepEqual(failures, []);
  });
  await page.goto(`${site.resolvedUrls.local[0]}?user=${user}&url=${encodeURIComponent(network.url)}`);
  return {
    network,
    page,
    said: () => page.locator("#messages li").allInnerTexts(),
    say: async (text) => {
      await page.fill("input", text);
      await page.click("button");
    },
    shows: (selector, text) => comes(async () => (await page.innerText(selector)) === text, () => page.innerText("body")),
    hears: (...texts) =>
      comes(async () => JSON.stringify(await page.locator("#messages li").allInnerTexts()) === JSON.stringify(texts), () =>
        page.innerText("body"),
      ),
  };
}

async function comes(look, tell) {
  for (let tries = 0; tries < 300; tries++) {
    if (await look()) return;
    await sleep(50);
  }
  assert.fail(`it did not come to be; the page says: ${await tell()}`);
}

test("the types of page and bot are those of the contract", () => {
  for (const [language, path] of [["typescript", "src/contract.ts"], ["python", "../bot/chat_contract.py"]]) {
    const types = run("generate", language, "--tenant", "demo", "--contract", contract);
    assert.equal(readFileSync(join(chat, path), "utf8"), types);
  }
});

test("two browsers talk; one goes offline and comes back without a loss; presence is right", async (context) => {
  const alice = await open(context, "alice");
  await alice.shows("#members", "alice");
  const bob = await open(context, "bob");
  await alice.shows("#members", "alice, bob");
  await bob.shows("#members", "alice, bob");

  await alice.say("hello");
  await bob.hears("alice hello");
  await bob.say("hi");
  await alice.hears("alice hello", "bob hi");

  bob.network.goDown();
  await bob.page.context().setOffline(true);
  await alice.shows("#members", "alice"); // after the room type's grace of 3 s
  for (const text of ["one", "two", "three"]) await alice.say(text);
  await alice.hears("alice hello", "bob hi", "alice one", "alice two", "alice three");
  await bob.say("from the tunnel"); // waits in the client
  await bob.hears("alice hello", "bob hi");

  bob.network.comeBack();
  await bob.page.context().setOffline(false);
  const all = ["alice hello", "bob hi", "alice one", "alice two", "alice three", "bob from the tunnel"];
  await bob.hears(...all);
  await alice.hears(...all);
  await alice.shows("#members", "alice, bob");
  await bob.shows("#members", "alice, bob");
  await bob.shows("#status", "connected");
  assert.equal(await bob.page.locator(".gap").count(), 0);

  if (process.env.SCREENSHOT) await bob.page.screenshot({ path: process.env.SCREENSHOT });
  await bob.page.close();
  await alice.shows("#members", "alice");
});

test("the bot, in Python, answers", async (context) => {
  const bot = spawn(python, [join(chat, "../bot/bot.py"), "chat:lobby"], {
    cwd: place,
    env: { ...process.env, PYTHONPATH: join(chat, "../../../clients/python") },
    stdio: ["ignore", "ignore", "inherit"],
  });
  context.after(() => bot.kill("SIGTERM"));
  const dave = await open(context, "dave");
  await dave.shows("#members", "dave, word-counter");
  await dave.say("count: one two three");
  await comes(async () => (await dave.said()).at(-1) === "word-counter dave: 3 words", () => dave.page.innerText("body"));
});

test("a page that is opened later reads what was said, and what does not fit the contract is refused", async (context) => {
  const carol = await open(context, "carol");
  await carol.shows("#status", "connected");
  await comes(async () => (await carol.said()).length >= 6, () => carol.page.innerText("body"));
  await carol.say("x".repeat(2_001));
  await comes(async () => (await carol.page.innerText("[role=alert]")) !== "", () => carol.page.innerText("body"));
});
