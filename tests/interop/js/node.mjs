// A js-libp2p node that obeys: one command per line of standard input, one answer or event per line of standard output,
// both JSON. It ends when its standard input does.
import readline from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const ECHO = '/icn/test/echo/1'
const tell = (object) => process.stdout.write(JSON.stringify(object) + '\n')
const bytes = (chunk) => chunk.subarray()

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionGater: { denyDialMultiaddr: () => false },
  services: { identify: identify(), ping: ping() }
})

const writeAll = async (stream, data) => {
  for (let at = 0; at < data.byteLength; at += 65536) {
    if (!stream.send(data.subarray(at, at + 65536))) await stream.onDrain()
  }
}

await node.handle(ECHO, async (stream) => {
  for await (const chunk of stream) {
    if (!stream.send(bytes(chunk))) await stream.onDrain()
  }
  await stream.close()
}, { maxInboundStreams: 256, maxOutboundStreams: 256 })

const echoed = async (address, count) => {
  const stream = await node.dialProtocol(multiaddr(address), ECHO)
  const sent = Buffer.alloc(count)
  for (let at = 0; at < count; at++) sent[at] = at * 31
  const writing = writeAll(stream, sent)
  let at = 0
  for await (const chunk of stream) {
    const got = bytes(chunk)
    if (Buffer.compare(got, sent.subarray(at, at + got.byteLength)) !== 0) throw new Error('the echo differs')
    at += got.byteLength
    if (at >= count) break
  }
  await writing
  await stream.close()
  return at === count
}

const commands = {
  dial: async ({ address }) => {
    const connection = await node.dial(multiaddr(address))
    return { peer: connection.remotePeer.toString(), encryption: connection.encryption, muxer: connection.multiplexer }
  },
  ping: async ({ address }) => ({ ms: await node.services.ping.ping(multiaddr(address)) }),
  echo: async ({ address, count }) => ({ same: await echoed(address, count) }),
  echoes: async ({ address, streams }) => {
    const all = await Promise.all(Array.from({ length: streams }, () => echoed(address, 200)))
    return { same: all.every(Boolean) }
  }
}

node.addEventListener('peer:identify', ({ detail }) => tell({
  event: 'identify', peer: detail.peerId.toString(), agent: detail.agentVersion, protocols: detail.protocols
}))
node.addEventListener('peer:disconnect', ({ detail }) => tell({ event: 'disconnect', peer: detail.toString() }))
process.on('uncaughtException', (error) => tell({ event: 'uncaught', error: String(error.stack) }))
process.on('unhandledRejection', (error) => tell({ event: 'uncaught', error: String(error?.stack ?? error) }))
tell({ event: 'ready', peer: node.peerId.toString(), addresses: node.getMultiaddrs().map(String) })

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  const command = JSON.parse(line)
  try {
    tell({ answer: command.number, ok: true, ...await commands[command.name](command) })
  } catch (error) {
    tell({ answer: command.number, ok: false, error: String(error?.stack ?? error) })
  }
})
lines.on('close', () => process.exit(0))
