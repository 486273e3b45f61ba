/** What may be the owner's password: by length and not by kinds of characters, and nothing that is guessed first. */
import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { isPossible, normal, problemWith } from "../../../src/gateway/auth/PasswordPolicy.ts"

const good = [
  "violet kettle under marble skies",
  "Tr0ub4dor&3xyzQ",
  "mrkvička skáče přes plot",
  "пароль из синего моря",
  "一二三四五六七八九十甲乙",
  "   seventh otter lagoon   ",
  "vuKq8#mWz1!rTfa",
  "nxqvwmzkdrthpl",
  "kaputte Uhren gehen zweimal richtig".repeat(10)
]

const common = [
  "password1234",
  "Password2024!",
  "P@ssw0rd!2023",
  "passwordpassword",
  "qwertyuiop12",
  "qwertyuiopasdfgh",
  "1q2w3e4r5t6y",
  "1qaz2wsx3edc",
  "zaq12wsxcde34",
  "123456789012",
  "0987654321098",
  "111111111111",
  "aaaaaaaaaaaaaaaaaaaaaaaa",
  "abcabcabcabcabc",
  "abcdefghijkl",
  "iloveyou1234",
  "letmein12345",
  "admin1234567",
  "administrator1",
  "welcome12345!",
  "monkeydragon1",
  "Summer2024!!!",
  "football2023!",
  "superman12345",
  "liverpool1892",
  "correct horse battery staple",
  "correcthorsebatterystaple",
  "changeme1234",
  "!@#$%^&*()_+",
  "asdfghjkl;'asdf",
  "drowssap4321",
  "            ",
  "aidesk-owner-1",
  "a1b2c3d4e5f6",
  "1234qwerasdf",
  "trustno1trustno1"
]

describe("a password", () => {
  it("of any characters will do", () => {
    for (const password of good) assert.strictEqual(problemWith(password), undefined, password)
  })

  it("is refused when it is guessed first, in any disguise", () => {
    const through = common.filter((password) => problemWith(password) === undefined)
    assert.deepStrictEqual(through, [])
  })

  it("is refused when it is made of this gateway's own names", () => {
    const own = ["violetkettle", "marble.example.org"]
    assert.isUndefined(problemWith("VioletKettle-x7"))
    assert.isDefined(problemWith("VioletKettle-x7", own))
    assert.isDefined(problemWith("marblemarble1", own))
  })

  it("has 12 to 1024 characters, counted as people count them", () => {
    const text = "zkvqwmxrtnplhgdjbfcyu"
    assert.match(problemWith("") ?? "", /no characters/)
    assert.match(problemWith("zkvqwmx") ?? "", /only 7/)
    assert.match(problemWith(text.slice(0, 11)) ?? "", /only 11/)
    assert.isUndefined(problemWith(text.slice(0, 12)))
    // Each of these is two units of UTF-16, and one character.
    assert.match(problemWith("😀🚲🌋🦉🍎") ?? "", /only 5/)
    const long = Array.from({ length: 1024 }, (_, i) => String.fromCodePoint(0x1f300 + ((i * 7) % 400))).join("")
    assert.isUndefined(problemWith(long))
    assert.match(problemWith(`${long}x`) ?? "", /more than 1024/)
    assert.match(problemWith("x".repeat(1_000_000)) ?? "", /more than 1024/)
  })

  it("keeps its spaces, and is the same on every keyboard", () => {
    assert.notStrictEqual(normal("seventh otter lagoon "), normal("seventh otter lagoon"))
    assert.strictEqual(normal("caf\u00e9 \ufb01n"), normal("cafe\u0301 fin"))
    assert.match(problemWith("seven otters \ud800") ?? "", /half a character/)
    assert.isFalse(isPossible("\udc00"))
  })

  it("is judged in no time, whatever it is, and never repeated", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 1100 }), (password) => {
        const problem = problemWith(password)
        assert.isTrue(problem === undefined || [...password].length < 3 || !problem.includes(password))
        if ([...normal(password)].length < 12 && password.isWellFormed()) assert.isDefined(problem)
      }),
      { numRuns: 300 }
    )
  })

  it("of five random words is never refused", () => {
    const letter = fc.constantFrom(..."bcdfghjklmnpqrstvwxz")
    const word = fc.array(letter, { minLength: 4, maxLength: 8 }).map((letters) => letters.join(""))
    fc.assert(
      fc.property(fc.array(word, { minLength: 5, maxLength: 5 }), (words) => {
        // Chance may repeat one word five times; nobody takes that one.
        fc.pre(new Set(words).size === 5 && words.every((each) => new Set(each).size > 2))
        assert.isUndefined(problemWith(words.join(" ")))
      })
    )
  })
})
