/** A folder outside /tmp in which a test may make one of its own: services do not see the machine's temporary folders. */
import { accessSync, constants } from "node:fs"
import { userInfo } from "node:os"

const writable = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK)
    return !/^\/(var\/)?tmp(\/|$)/.test(path)
  } catch {
    return false
  }
}

const found = ["/var/lib", userInfo().homedir, process.cwd()].find(writable)
if (found === undefined)
  throw new Error("none of /var/lib, the home folder and this checkout is outside /tmp and writable")

export const lastingFolder: string = found
