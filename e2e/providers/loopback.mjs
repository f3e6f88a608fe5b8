// What every test provider shares: it listens on loopback only, tells where on
// one line of standard output, and ends with the process that started it.
import crypto from 'node:crypto';
import http from 'node:http';

/** Starts a server on 127.0.0.1 and resolves with its port. */
export function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

/**
 * A port of 127.0.0.1 at which nothing listens, below those that systems give out by themselves: no connection of another
 * program takes it before it is used.
 */
export async function freePort() {
  for (;;) {
    const server = http.createServer();
    try {
      const port = await listen(server, crypto.randomInt(20_000, 30_000));
      await new Promise((resolve) => server.close(resolve));
      return port;
    } catch (err) {
      if (err.code !== 'EADDRINUSE') throw err;
    }
  }
}

/** Ends the process when whoever started it closes standard input, or dies. */
export function endWithParent() {
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(0));
  process.stdin.on('error', () => process.exit(0));
}

/** Reads a JSON body. */
export async function readJSON(req) {
  let text = '';
  for await (const chunk of req) text += chunk;
  return JSON.parse(text);
}

/** Starts the control server: routes by "METHOD /path", each returning JSON. */
export async function control(routes, port = 0) {
  const server = http.createServer(async (req, res) => {
    const route = routes[`${req.method} ${req.url}`];
    res.setHeader('content-type', 'application/json');
    if (!route) {
      res.statusCode = 404;
      return res.end('{}');
    }
    res.end(JSON.stringify((await route(req)) ?? {}));
  });
  return `http://127.0.0.1:${await listen(server, port)}`;
}
