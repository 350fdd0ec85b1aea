// A Chromium that reaches this machine only, and a page that remembers everything that went wrong in it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** Chromium as installed by the system; CHROMIUM names another binary. Without the flags it looks up its maker's hosts. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", // Chromium refuses to run as root with it
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ],
  });
}

/** A fresh page; `faults` collects console errors, exceptions, policy violations and requests that leave this machine. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`exception: ${error.stack}`));
  await page.exposeFunction("reportViolation", (text) => faults.push(`policy: ${text}`));
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) =>
      window.reportViolation(`${violatedDirective} ${blockedURI} ${sample}`),
    ),
  );
  await context.route(
    (url) => url.protocol.startsWith("http") && !LOOPBACK.has(url.hostname),
    (route) => {
      faults.push(`left this machine: ${route.request().url()}`);
      return route.abort();
    },
  );
  return { page, faults, close: () => context.close() };
}

/** Asks `read` again until `holds` is true of its answer, and returns that answer. */
export async function eventually(read, holds, { seconds }) {
  const end = Date.now() + seconds * 1000;
  let last;
  do {
    last = await read();
    if (holds(last)) return last;
    await new Promise((resolve) => setTimeout(resolve, 200));
  } while (Date.now() < end);
  return assert.fail(`not within ${seconds} s; the last answer was ${JSON.stringify(last)}`);
}
