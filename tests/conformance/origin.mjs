// The suite's own origin server, on the loopback only: it would listen on all interfaces.
// Usage: node origin.mjs FOLDER; prints "Listening on http://127.0.0.1:PORT/" when it is ready.
import net from 'node:net'
import path from 'node:path'
import process from 'node:process'

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port) {
  return listen.call(this, { port, host: '127.0.0.1' })
}
process.env.npm_config_protocol = 'http'
process.env.npm_config_port = '0'
process.env.npm_config_pidfile = path.join(process.argv[2], 'origin.pid')
await import('http-cache-tests/server/server.mjs')
