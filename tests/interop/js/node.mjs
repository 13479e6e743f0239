// A js-libp2p node that obeys: one command per line of standard input, one answer or event per line of standard output,
// both JSON. It ends when its standard input does.
import { readFileSync } from 'node:fs'
import readline from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify, identifyPush } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
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
  services: {
    identify: identify(),
    push: identifyPush(),
    ping: ping(),
    gossip: gossipsub({ allowPublishToZeroTopicPeers: true, emitSelf: false }),
    // Loopback addresses would be left out by what suits the internet.
    dht: kadDHT({ protocol: '/icn/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper })
  }
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
  },
  serve: async ({ protocol }) => {
    await node.handle(protocol, (stream) => stream.close())
    return {}
  },
  subscribe: async ({ topic }) => {
    node.services.gossip.subscribe(topic)
    return {}
  },
  publish: async ({ topic, data }) => {
    await node.services.gossip.publish(topic, Buffer.from(data))
    return {}
  },
  listening: async ({ topic }) => ({ peers: node.services.gossip.getSubscribers(topic).map(String) }),
  find: async ({ peer }) => {
    const found = await node.peerRouting.findPeer(peerIdFromString(peer), { signal: AbortSignal.timeout(20_000) })
    return { addresses: found.multiaddrs.map(String) }
  }
}

node.addEventListener('peer:identify', ({ detail }) => tell({
  event: 'identify',
  peer: detail.peerId.toString(),
  agent: detail.agentVersion,
  protocols: detail.protocols,
  record: detail.signedPeerRecord != null
}))
node.addEventListener('peer:update', ({ detail }) => {
  const before = new Set(detail.previous?.protocols ?? [])
  const added = detail.peer.protocols.filter((protocol) => !before.has(protocol))
  if (before.size > 0 && added.length > 0) tell({ event: 'pushed', peer: detail.peer.id.toString(), added })
})
node.services.gossip.addEventListener('message', ({ detail }) => tell({
  event: 'message', topic: detail.topic, from: detail.from?.toString(), data: Buffer.from(detail.data).toString()
}))
node.addEventListener('peer:disconnect', ({ detail }) => tell({ event: 'disconnect', peer: detail.toString() }))
process.on('uncaughtException', (error) => tell({ event: 'uncaught', error: String(error.stack) }))
process.on('unhandledRejection', (error) => tell({ event: 'uncaught', error: String(error?.stack ?? error) }))
const { version } = JSON.parse(readFileSync(new URL('node_modules/libp2p/package.json', import.meta.url)))
tell({ event: 'ready', peer: node.peerId.toString(), addresses: node.getMultiaddrs().map(String), version })

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
