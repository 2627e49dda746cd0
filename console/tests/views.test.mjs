/** The console in Debian's Chromium, against two live nodes. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axe, converse, failures, launch, open, overflow, signIn, VIEWS, visit } from "./browser.mjs";
import { HOSTILE, HOSTILE_USERS } from "./hostile.mjs";
import { furnish, Stage } from "./stage.mjs";

let stage;
let browser;
let key;

before(async () => {
  stage = await Stage.start();
  browser = await launch();
  key = await furnish(stage);
});
after(async () => {
  await browser?.close();
  await stage?.end();
});

const WINDOWS = [
  { width: 1440, height: 900, dark: false },
  { width: 360, height: 800, dark: true },
];

for (const window of WINDOWS) {
  test(`each view is whole at ${window.width} px, and axe finds nothing serious`, async () => {
    const { page, faults } = await open(browser, stage, window);
    await page.goto("/console");
    const found = { "sign-in": [...(await axe(page)), ...(await overflow(page))] };
    await signIn(page, stage.operator);
    for (const [name, hash] of Object.entries(VIEWS)) {
      await visit(page, hash);
      await page.waitForTimeout(300);
      found[name] = [...(await failures(page)), ...(await axe(page)), ...(await overflow(page))];
    }
    await page.context().close();
    assert.deepEqual(Object.fromEntries(Object.entries(found).filter(([, problems]) => problems.length)), {});
    assert.deepEqual(faults, []);
  });
}

test("a newcomer sees a message pass between two clients, cuts one off, and sees it recover", async () => {
  const { page, faults } = await open(browser, stage);
  const beginning = Date.now();
  await signIn(page, stage.operator);
  await page.getByRole("link", { name: "Tenants" }).click();
  await page.getByRole("link", { name: /acme/ }).click();
  await page.getByRole("link", { name: "Wire inspector" }).click();
  await converse(page);
  const left = page.getByRole("region", { name: "Left client" });
  const right = page.getByRole("region", { name: "Right client" });
  await right.getByRole("button", { name: "Cut off" }).click();
  await left.getByLabel("Command").fill('{"type":"publish","id":9,"room":"chat","data":"missed"}');
  await left.getByRole("button", { name: "Send", exact: true }).click();
  await left.getByText('"type":"published","id":9').waitFor();
  await right.getByRole("button", { name: "Reconnect with since" }).click();
  await right.getByText('"recovered":true').waitFor();
  await right.getByText('"data":"missed"').waitFor();
  assert.ok(Date.now() - beginning < 60_000);
  assert.deepEqual(faults, []);
  await page.context().close();
});

test("what a key may not do is not shown", async () => {
  const { page } = await open(browser, stage);
  const reader = await stage.ask(key, "POST", "/v1/keys", { name: "reader", scopes: ["read"] });
  await signIn(page, reader.api_key);
  assert.deepEqual(await page.locator("nav a").allTextContents(), ["Overview", "Rooms", "Users", "Usage", "Contract"]);
  await visit(page, "rooms/chat%3Alobby?tab=members");
  await page.getByText("alice").waitFor();
  assert.equal(await page.getByRole("button", { name: /Publish|Put out|live/ }).count(), 0);
  await page.context().close();
});

test("a key that is revoked while the page is open leads to sign-in, with the reason", async () => {
  const { page } = await open(browser, stage);
  const made = await stage.ask(key, "POST", "/v1/keys", { name: "short", scopes: ["read"] });
  await signIn(page, made.api_key);
  await stage.ask(key, "DELETE", `/v1/keys/${made.key_id}`);
  await page.getByText(/not accepted any more/).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0);
  await page.context().close();
});

test("a view that has no answer any more says so, keeps what there was, and comes back", async () => {
  const { page } = await open(browser, stage);
  await signIn(page, stage.operator);
  await visit(page, "rooms?tenant=acme");
  await page.context().setOffline(true);
  await page.getByText(/There is no answer/).first().waitFor();
  await page.getByText("chat:0", { exact: true }).waitFor();
  await page.context().setOffline(false);
  await page.getByText(/There is no answer/).first().waitFor({ state: "detached" });
  await page.context().close();
});

test("the address bar holds the view, with what was looked for", async () => {
  const { page } = await open(browser, stage);
  await signIn(page, stage.operator);
  await visit(page, "rooms?tenant=acme");
  await page.getByRole("searchbox").fill("chat:lob");
  await page.getByText("chat:10", { exact: true }).waitFor({ state: "detached" });
  await page.reload();
  await page.getByText("chat:lobby").waitFor();
  assert.equal(await page.getByRole("searchbox").inputValue(), "chat:lob");
  await page.context().close();
});

test("a change asks once, shows what it did, and stands in the audit", async () => {
  const { page } = await open(browser, stage);
  await signIn(page, stage.operator);
  await visit(page, "tenants/globex?tenant=globex");
  await page.getByRole("row", { name: /max connections \d/ }).getByRole("button", { name: "Change" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("At most").fill("777");
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.getByText(/max connections is 777 now/).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "audit" }).click();
  await page.getByText("tenant.change").first().waitFor();
  await page.context().close();
});

test("200 hostile names run no script, break no policy, and keep within the page", async () => {
  const { page, faults } = await open(browser, stage, { width: 390, height: 844 });
  const mess = await stage.tenant("mess", { api_requests_per_second: null });
  assert.equal(HOSTILE.length, 200);
  for (const [index, text] of HOSTILE.entries()) {
    const said = { name: text.slice(0, 200), data: { [text]: text } };
    const body = /[\p{Cc}]/u.test(said.name) ? { data: text } : said;
    await stage.ask(mess, "POST", "/v1/rooms/mess/messages", body);
    if (index % 4 === 0) {
      const socket = await stage.socket(mess, HOSTILE_USERS[index], { info: { [text]: text } });
      socket.say({ type: "join", room: "mess", state: { [text]: text } });
    }
  }
  await stage.ask(mess, "PUT", "/v1/contract", {
    room_types: { mess: { pattern: "mess", messages: { [HOSTILE[0]]: { title: HOSTILE[1], description: HOSTILE[2], type: "object", properties: { [HOSTILE[3]]: { type: "string" } } } } } },
  });
  await signIn(page, stage.operator);
  for (const hash of ["rooms?", "rooms/mess?", "rooms/mess?tab=members&", "rooms/mess?tab=history&", "users?", "contract?", "tenants/mess?tab=audit&", `users/${encodeURIComponent(HOSTILE_USERS[0])}?`, "inspector?"]) {
    await visit(page, `${hash}tenant=mess`);
    await page.waitForTimeout(400);
    assert.deepEqual([...(await failures(page)), ...(await overflow(page))], [], hash);
  }
  await visit(page, "rooms/mess?tenant=mess");
  await page.getByText("live", { exact: true }).first().waitFor();
  for (const text of HOSTILE) await stage.ask(mess, "POST", "/v1/rooms/mess/messages", { data: text });
  await page.waitForTimeout(500);
  assert.deepEqual([...(await failures(page)), ...(await overflow(page))], []);
  assert.deepEqual(faults, []);
  assert.notEqual(await page.title(), "x");
  await page.context().close();
});

test("a thousand messages a second stay a short page", async () => {
  const { page } = await open(browser, stage);
  const flood = await stage.tenant("flood", { publishes_per_second: null, commands_per_second: null });
  await signIn(page, flood);
  await visit(page, "rooms/flood");
  await page.getByText("joined").waitFor();
  const socket = await stage.socket(flood, "flood");
  for (let sent = 0; sent < 3000; sent++) socket.say({ type: "publish", room: "flood", data: sent });
  await page.locator(".entry code", { hasText: /^2999$/ }).waitFor();
  assert.ok((await page.locator(".entry").count()) < 100);
  await page.getByLabel("Filter by name or user").fill("nobody");
  await page.getByText("Nothing that fits so far").waitFor();
  await page.context().close();
});
