/**
 * Workspace: which folders an agent's tools may be given. A tool can read and change everything in
 * its workspace, so a workspace that equals, contains or lies inside the data folder, or contains
 * the config, its `.env` or the skills, is refused, also when a symlink on the way leads there.
 */
import { lstatSync, realpathSync } from "node:fs"
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path"
import { systemCode } from "../DurableFile.ts"

export interface Surroundings {
  /** Absolute. */
  readonly dir: string
  readonly configPath: string | null
  readonly dataDir: string
  readonly home: string
}

/** Links resolved as far as the path exists; the rest is appended as it is. Null when links form a circle or a part is no folder. */
export const realPath = (path: string): string | null => {
  try {
    return realpathSync(path)
  } catch (cause) {
    const code = systemCode(cause)
    if (code !== "ENOENT") return null
    try {
      // It exists, yet leads nowhere: whoever controls the target decides later what it is.
      if (lstatSync(path).isSymbolicLink()) return null
    } catch {
      // Not there at all, which is fine: it will be created.
    }
    const parent = dirname(path)
    if (parent === path) return path
    const real = realPath(parent)
    return real === null ? null : join(real, basename(path))
  }
}

/** Whether `inner` is `outer` or lies in it. */
export const contains = (outer: string, inner: string): boolean => {
  const way = relative(outer, inner)
  return way === "" || (way !== ".." && !way.startsWith("../") && !isAbsolute(way))
}

export const absolute = (path: string, from: Surroundings): string =>
  path === "~" || path.startsWith("~/") ? join(from.home, path.slice(1)) : resolve(from.dir, path)

const fix = 'use a folder of its own, for example "workspace": "./workspace"'

export interface Refusal {
  readonly found: string
  readonly fix: string
}

/** What the machine itself runs on; a tool that may write there could take it over. */
const system = ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"]

const refuse = (found: string): Refusal => ({ found, fix })

/** Null when the folder may be a workspace. `path` is absolute. */
export const refusal = (path: string, around: Surroundings): Refusal | null => {
  const real = realPath(path)
  if (real === null) return refuse("a path that cannot be followed (broken or circular link, or not a folder)")
  const via = real === path ? "" : ", by a symbolic link"
  // Both as written and as resolved: either way of reaching the folder must be harmless.
  for (const folder of new Set([path, real])) {
    const meets = (target: string, test: (folder: string, target: string) => boolean): boolean =>
      test(folder, target) || test(folder, realPath(target) ?? target)
    if (dirname(folder) === folder) return refuse(`the root of the file system${via}`)
    if (system.some((root) => contains(root, folder))) return refuse(`a folder of the operating system${via}`)
    if (meets(around.home, contains)) return refuse(`the home folder or one that contains it${via}`)
    if (meets(around.dataDir, contains)) return refuse(`a folder that contains the data folder${via}`)
    if (meets(around.dataDir, (f, data) => contains(data, f))) return refuse(`a folder inside the data folder${via}`)
    if (meets(around.configPath ?? join(around.dir, "ai-desk.json"), contains)) {
      return refuse(`a folder that contains ai-desk.json${via}`)
    }
    if (meets(join(around.dir, ".env"), contains)) return refuse(`a folder that contains the .env file${via}`)
    const skills = join(around.dir, "skills")
    if (meets(skills, contains) || meets(skills, (f, s) => contains(s, f))) {
      return refuse(`a folder that contains the skills or lies inside them${via}`)
    }
  }
  return null
}
