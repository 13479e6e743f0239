// The outside judge of our CAR files: `read FILE` lists what @ipld/car finds in one, `write FILE` makes one of a folder
// with files as IPFS tools do (UnixFS in dag-pb), of a dag-cbor block that links to it, and says what it wrote.

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CarReader, CarWriter } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import { importer } from 'ipfs-unixfs-importer'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex')

async function read(file) {
  const reader = await CarReader.fromIterable(createReadStream(file))
  const blocks = []
  for await (const { cid, bytes } of reader.blocks()) {
    const named = cid.multihash.code === sha256.code && Buffer.from((await sha256.digest(bytes)).digest).equals(Buffer.from(cid.multihash.digest))
    blocks.push({ cid: cid.toString(), digest: digest(bytes), named })
  }
  return { roots: (await reader.getRoots()).map(String), blocks }
}

async function write(file, version) {
  const made = []
  const store = {
    put: (cid, bytes) => {
      made.push({ cid, bytes })
      return cid
    }
  }
  const files = [
    { path: 'folder/large.bin', content: Buffer.alloc(700_000, 'bread and butter ') },
    { path: 'folder/small.txt', content: Buffer.from('a small file') }
  ]
  let root
  const options = { cidVersion: version, rawLeaves: version === 1, wrapWithDirectory: false }
  for await (const entry of importer(files, store, options)) {
    root = entry.cid
  }
  const bytes = dagCbor.encode({ folder: root, about: 'what others made' })
  const top = CID.createV1(dagCbor.code, await sha256.digest(bytes))
  const { writer, out } = CarWriter.create([top])
  const writing = pipeline(Readable.from(out), createWriteStream(file))
  await writer.put({ cid: top, bytes })
  const blocks = [{ cid: top.toV1().toString(), digest: digest(bytes) }]
  for (const { cid, bytes: content } of made) {
    await writer.put({ cid, bytes: content })
    blocks.push({ cid: cid.toV1().toString(), digest: digest(content) })
  }
  await writer.close()
  await writing
  return { roots: [top.toString()], blocks }
}

const [, , what, file, version] = process.argv
console.log(JSON.stringify(what === 'read' ? await read(file) : await write(file, Number(version))))
