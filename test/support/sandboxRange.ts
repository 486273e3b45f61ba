/**
 * Where the battery is tried: canaries beside the workspace, protected names planted in it, and a
 * machine side that listens, so that an attempt that gets out finds something.
 */
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"

export interface Range {
  readonly outside: string
  readonly port: number
  /** A fresh workspace with everything planted. */
  readonly workspace: () => Promise<string>
  readonly close: () => void
}

const listen = (server: net.Server, at: net.ListenOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(at, resolve)
  })

const plant = (workspace: string): void => {
  fs.mkdirSync(path.join(workspace, ".git", "hooks"), { recursive: true })
  fs.mkdirSync(path.join(workspace, "skills"))
  fs.mkdirSync(path.join(workspace, ".ai-desk-data"))
  const files = {
    ".git/config": "[core]\n",
    ".mcp.json": "{}\n",
    "old.skill.json": "{}\n",
    "ai-desk.json": '{"canary":"CANARY"}\n',
    ".env": "MASTER_KEY=CANARY\n",
    ".ai-desk-data/keyring.json": '{"canary":"CANARY"}\n'
  }
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(workspace, name), content)
}

const own = (folder: string, uid: number): void => {
  if (process.getuid?.() !== 0 || uid === 0) return
  fs.chownSync(folder, uid, uid)
  for (const entry of fs.readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    fs.lchownSync(path.join(folder, entry), uid, uid)
  }
}

export const openRange = async (uid: number): Promise<Range> => {
  const root = fs.mkdtempSync(path.join(fs.existsSync("/var/tmp") ? "/var/tmp" : os.tmpdir(), "ai-desk-range-"))
  const outside = path.join(root, "outside")
  fs.mkdirSync(outside)
  fs.writeFileSync(path.join(outside, "canary"), "CANARY-7f3a\n")
  own(root, uid)
  const servers: Array<net.Server> = []
  const serve = async (at: net.ListenOptions): Promise<net.Server> => {
    const server = net.createServer((socket) => {
      // Whoever got here has escaped already; how it hangs up is no matter.
      socket.on("error", () => undefined)
      socket.end("CANARY\n")
    })
    servers.push(server)
    await listen(server, at)
    return server
  }
  const tcp = await serve({ port: 0, host: "127.0.0.1" })
  const address = tcp.address()
  await serve({ path: `\0ai-desk-battery` }).catch((error: NodeJS.ErrnoException) => {
    // Another test file may be listening on the machine-wide name: just as good a target.
    if (error.code !== "EADDRINUSE") throw error
  })
  let last = 0
  return {
    outside,
    port: typeof address === "object" && address !== null ? address.port : 0,
    workspace: async () => {
      last += 1
      const workspace = path.join(root, `w${last}`)
      fs.mkdirSync(workspace)
      plant(workspace)
      await serve({ path: path.join(workspace, "sock"), writableAll: true })
      own(workspace, uid)
      return workspace
    },
    close: () => {
      for (const server of servers) server.close()
      fs.rmSync(root, { recursive: true, force: true })
    }
  }
}
