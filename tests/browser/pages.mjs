// What a person does with the pages of a running development server: node pages.mjs BASE_URL [SCREENSHOT_DIR]
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { eventually, launch, openPage } from "./chromium.mjs";

const [base = "http://127.0.0.1:8000", screenshots] = process.argv.slice(2);
const GENERATION_SECONDS = 60; // generous: a shared, busy machine; an idle one needs a tenth of it

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const shoot = (page, name) =>
  screenshots ? page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true }) : undefined;

/** A test with a page of its own, at the end of which nothing may have gone wrong in the page. */
function onPage(claim, options, body) {
  test(claim, async () => {
    const { page, faults, close } = await openPage(browser, options);
    try {
      await body(page);
      assert.deepEqual(faults, []);
    } finally {
      await close();
    }
  });
}

async function signInAsDemo(page) {
  await page.goto(base);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Signed in as").waitFor();
}

async function generate(page, { prompt, seconds }) {
  await page.getByLabel("What should it sound like?").fill(prompt);
  await page.getByLabel("Length").fill(String(seconds));
  await page.getByRole("button", { name: "Generate" }).click();
  return page.locator(".track").filter({ hasText: prompt }).first();
}

onPage("GraphiQL loads offline under its policy, and a typed query is answered", {}, async (page) => {
  await page.goto(`${base}/graphiql`);
  await page.getByRole("button", { name: "New tab" }).click();
  await page.locator(".graphiql-query-editor .CodeMirror-code").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("{ __typename ");
  await page.getByRole("button", { name: /Execute query/ }).click();
  const result = page.locator(".result-window");
  await eventually(() => result.innerText(), (text) => /"__typename":\s*"Query"/.test(text), { seconds: 10 });
  await page.getByRole("button", { name: /settings/i }).click();
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await shoot(page, "graphiql");
});

onPage("GraphiQL takes the landing page's session along, and its subscription is READY", {}, async (page) => {
  await signInAsDemo(page);
  await page.getByRole("link", { name: "GraphiQL" }).click();
  await page.getByRole("tab", { name: "Listen" }).click();
  await page.getByRole("button", { name: /Execute query/ }).click();
  const result = page.locator(".result-window");
  await eventually(() => result.innerText(), (text) => text.includes("READY"), { seconds: 10 });
});

onPage("the demo user asks for ten seconds and, told by the subscription alone, hears both versions", {}, async (page) => {
  await signInAsDemo(page);
  await page.getByText("Listening", { exact: true }).waitFor();
  const prompt = `Ten seconds of rain on a tin roof ${Date.now()}`;
  const card = await generate(page, { prompt, seconds: 10 });
  await card.and(page.locator("[data-status=COMPLETED]")).waitFor({ timeout: GENERATION_SECONDS * 1000 });
  const durations = () => card.locator(".voice audio").evaluateAll((all) => all.map(({ duration }) => duration));
  const playable = (all) => all.length === 2 && all.every((duration) => Math.abs(duration - 10) <= 1);
  await eventually(durations, playable, { seconds: 10 });
  await card.getByRole("button", { name: /^Play version A/ }).click();
  const position = () => card.locator(".voice audio").first().evaluate(({ currentTime }) => currentTime);
  await eventually(position, (seconds) => seconds > 0.5, { seconds: 10 });
  await card.getByRole("slider", { name: "Position in version A" }).press("ArrowRight");
  await eventually(position, (seconds) => seconds > 5, { seconds: 5 });
  assert.ok(await card.locator("img.cover").evaluate(({ complete, naturalWidth }) => complete && naturalWidth > 0));
  await shoot(page, "landing");
});

onPage("after a broken connection the page listens again, from where it was", {}, async (page) => {
  const subscriptions = [];
  await page.routeWebSocket(/\/graphql$/, (client) => {
    const server = client.connectToServer();
    client.onMessage((text) => {
      const { type, payload } = JSON.parse(text);
      if (type === "subscribe") subscriptions.push({ after: payload.variables.after, cut: () => client.close({ code: 1012 }) });
      server.send(text);
    });
  });
  await signInAsDemo(page);
  await page.getByText("Listening", { exact: true }).waitFor();
  subscriptions[0].cut();
  await eventually(() => subscriptions.length, (count) => count === 2, { seconds: 10 });
  await page.getByText("Listening", { exact: true }).waitFor();
  assert.equal(subscriptions[0].after, null);
  assert.equal(typeof subscriptions[1].after, "string");
});

onPage("a wrong password is refused in words, and nobody is signed in", {}, async (page) => {
  await page.goto(base);
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  const words = await page.locator("#account").getByRole("alert").innerText();
  assert.match(words, /\w+ \w+/);
  assert.ok(await page.getByRole("button", { name: "Generate" }).isDisabled());
});

onPage("what a person writes stays text", {}, async (page) => {
  await signInAsDemo(page);
  const markup = `<img src=x onerror="document.title='owned'"> ${Date.now()}`;
  const card = await generate(page, { prompt: markup, seconds: 10 });
  await card.waitFor();
  assert.equal(await card.locator("img[src=x]").count(), 0);
  assert.match(await page.title(), /^Antiphon/);
});

for (const [name, options] of [
  ["a phone", { viewport: { width: 360, height: 740 } }],
  ["a dark desktop", { viewport: { width: 1280, height: 900 }, colorScheme: "dark" }],
]) {
  onPage(`the landing page fits ${name}`, options, async (page) => {
    await page.goto(base);
    await page.getByRole("heading", { name: /Ask for music/ }).waitFor();
    const [needed, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(needed <= width, `${needed} px of content in ${width} px`);
    await shoot(page, name.replaceAll(" ", "-"));
  });
}
