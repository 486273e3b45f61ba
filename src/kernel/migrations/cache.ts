/** Schema of cache.db, step by step; see `desk.ts` for how to add one. Taken: 0001 response cache. */
import type { Migrations } from "../database/Connection.ts"
import { responseCache } from "./0001_response_cache.ts"

export const cacheMigrations: Migrations = {
  "0001_response_cache": responseCache
}
