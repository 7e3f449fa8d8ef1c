import CryptoKit
import Foundation

/// torch's normal random numbers on a CPU: MT19937, 24-bit uniform numbers, Box-Muller in blocks of 16.
///
/// A seed gives the noise, and so the picture, that it gives `pokora stills`.
public struct Noise {
    var state = [UInt32](repeating: 0, count: 624)
    var index = 624

    public init(seed: UInt64) {
        state[0] = UInt32(truncatingIfNeeded: seed)
        for place in 1..<624 {
            let before = state[place - 1]
            state[place] = 1_812_433_253 &* (before ^ (before >> 30)) &+ UInt32(place)
        }
    }

    /// The seed of a part of a run: of its canonical JSON, such as [7,"keyframe",0].
    public static func seed(of names: String) -> UInt64 {
        let digest = SHA256.hash(data: Data(names.utf8))
        let hex = digest.map { String(format: "%02x", $0) }.joined()
        return UInt64(hex.prefix(15), radix: 16) ?? 0
    }

    mutating func word() -> UInt32 {
        if index == 624 { twist() }
        var word = state[index]
        index += 1
        word ^= word >> 11
        word ^= (word << 7) & 0x9d2c_5680
        word ^= (word << 15) & 0xefc6_0000
        return word ^ (word >> 18)
    }

    mutating func twist() {
        for place in 0..<624 {
            let mixed = (state[place] & 0x8000_0000) | (state[(place + 1) % 624] & 0x7fff_ffff)
            let odd: UInt32 = mixed & 1 == 1 ? 0x9908_b0df : 0
            state[place] = state[(place + 397) % 624] ^ (mixed >> 1) ^ odd
        }
        index = 0
    }

    /// `count` normal numbers, a multiple of 16.
    public mutating func normal(_ count: Int) -> [Float] {
        let uniform = (0..<count).map { _ in Float(word() & 0xff_ffff) * Float(1.0 / 16_777_216.0) }
        var made = [Float](repeating: 0, count: count)
        for block in stride(from: 0, to: count, by: 16) {
            for place in block..<(block + 8) {
                let radius = (-2 * log(1 - uniform[place])).squareRoot()
                let angle = 2 * Float.pi * uniform[place + 8]
                made[place] = radius * cos(angle)
                made[place + 8] = radius * sin(angle)
            }
        }
        return made
    }
}
