/** Debian's Chromium, and what the tests look at in each page. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** A page that notes what must not be: scripts' errors, requests to others, reports of the CSP. */
export async function open(browser, stage, { width = 1440, height = 900, dark = false } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? "dark" : "light",
    permissions: ["clipboard-read", "clipboard-write"],
    baseURL: stage.address,
  });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  page.on("dialog", (dialog) => {
    faults.push(`a script ran: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) faults.push(message.text());
  });
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (!["blob:", "data:"].includes(protocol) && host !== new URL(stage.address).host) faults.push(request.url());
  });
  return { page, faults };
}

/** Whether a view failed, and why; nothing where it did not. */
export const failures = (page) => page.locator(".failed").allInnerTexts();

export async function signIn(page, bearer) {
  await page.goto("/console");
  await page.getByLabel("Operator token or API key").fill(bearer);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: /Overview/ }).waitFor();
}

export async function visit(page, hash) {
  await page.goto(`/console#/${hash}`);
  await page.locator("main h1").first().waitFor();
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

/** What axe finds that is serious or critical. */
export async function axe(page) {
  // Not by a tag: the page's own policy forbids it, and stays in force. The protocol evaluates beside it.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }),
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join(" | ")}`);
}

/** Whether something is wider than the page, or cut within its box. */
export const overflow = (page) =>
  page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    const cut = [...document.querySelectorAll("button, h1, h2, .tile, .badge, label")]
      .filter((each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== "inline")
      .map((each) => each.textContent.slice(0, 60));
    return [...(wide > 0 ? [`the page is ${wide} px too wide`] : []), ...cut];
  });

export const VIEWS = {
  overview: "overview",
  tenants: "tenants",
  "tenant-limits": "tenants/acme?tenant=acme",
  "tenant-keys": "tenants/acme?tenant=acme&tab=keys",
  "tenant-audit": "tenants/acme?tenant=acme&tab=audit",
  rooms: "rooms?tenant=acme",
  "room-live": "rooms/chat%3Alobby?tenant=acme",
  "room-members": "rooms/chat%3Alobby?tenant=acme&tab=members",
  "room-history": "rooms/chat%3Alobby?tenant=acme&tab=history",
  users: "users?tenant=acme",
  user: "users/alice?tenant=acme",
  usage: "usage?tenant=acme&unit=minute",
  contract: "contract?tenant=acme",
  inspector: "inspector?tenant=acme",
};

/** Two clients in a room, and a message between them. */
export async function converse(page) {
  for (const side of ["Left", "Right"]) {
    const pane = page.getByRole("region", { name: `${side} client` });
    await pane.getByRole("button", { name: "Connect", exact: true }).click();
    await pane.getByText('"type":"welcome"').waitFor();
    await pane.getByRole("button", { name: "Send", exact: true }).click();
    await pane.getByText('"type":"joined"').waitFor();
  }
  const left = page.getByRole("region", { name: "Left client" });
  await left.getByRole("button", { name: "publish", exact: true }).click();
  await left.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("region", { name: "Right client" }).getByText('"text":"hello"').first().waitFor();
}
