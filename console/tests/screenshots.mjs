/** Each view, light and dark, at 390 and 1,440 px: into docs/console. ONLY=rooms for those that begin so. */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { converse, launch, open, overflow, signIn, VIEWS, visit } from "./browser.mjs";
import { furnish, Stage } from "./stage.mjs";

const FOLDER = process.env.SHOTS ?? fileURLToPath(new URL("../../docs/console", import.meta.url));
const ONLY = process.env.ONLY ?? "";
const SETTLED_MS = Number(process.env.SETTLED_MS ?? 20_000);

async function shoot(browser, stage, width, dark) {
  const { page, faults } = await open(browser, stage, { width, height: width < 700 ? 844 : 900, dark });
  const path = (name) => `${FOLDER}/${name}-${width}-${dark ? "dark" : "light"}.png`;
  await page.goto("/console");
  if ("sign-in".startsWith(ONLY)) await page.screenshot({ path: path("sign-in") });
  await signIn(page, stage.operator);
  for (const [name, hash] of Object.entries(VIEWS)) {
    if (!name.startsWith(ONLY)) continue;
    await visit(page, hash);
    if (name === "inspector") await converse(page);
    await page.waitForTimeout(name === "room-live" ? 1500 : 400);
    const found = await overflow(page);
    if (found.length) console.log(name, width, found);
    await page.screenshot({ path: path(name), fullPage: true });
  }
  if (faults.length) console.log(faults);
  await page.context().close();
}

mkdirSync(FOLDER, { recursive: true });
const stage = await Stage.start();
const browser = await launch();
try {
  await furnish(stage);
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS)); // for charts with something in them
  for (const width of [1440, 390]) for (const dark of [false, true]) await shoot(browser, stage, width, dark);
} finally {
  await browser.close();
  await stage.end();
}
