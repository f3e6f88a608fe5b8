// Starts Debian's Firefox for tests, driven by WebDriver BiDi.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const preferences = {
  'network.cookie.cookieBehavior': 1, // no third-party cookies at all
  // Nothing leaves this machine: a proxy that nobody runs, which names of this machine never use.
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1', 'network.proxy.http_port': 9,
  'network.proxy.ssl': '127.0.0.1', 'network.proxy.ssl_port': 9,
};

/** Launches a headless Firefox with a profile of its own. stop ends it and removes the profile. */
export async function startFirefox() {
  const profile = await mkdtemp(path.join(os.tmpdir(), 'tokenvault-firefox-'));
  const browser = await puppeteer.launch({
    browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', userDataDir: profile, extraPrefsFirefox: preferences,
    // Its crash reporter and caches keep to the profile.
    env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' },
  });
  const child = browser.process();
  const stop = async () => {
    await browser.close();
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { browser, stop };
}
