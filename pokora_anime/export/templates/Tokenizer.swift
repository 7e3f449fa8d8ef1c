import Foundation

/// CLIP's byte-pair tokenizer, read from tokenizer.json.
public struct Tokenizer {
    public static let length = 77
    let vocabulary: [String: Int]
    let ranks: [String: Int]
    let first: Int
    let last: Int

    struct File: Decodable {
        struct Model: Decodable {
            let vocab: [String: Int]
            let merges: [Merge]
        }
        /// "a b" in older files, ["a", "b"] in newer ones.
        struct Merge: Decodable {
            let pair: String
            init(from decoder: Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let both = try? container.decode([String].self) {
                    pair = both.joined(separator: " ")
                } else {
                    pair = try container.decode(String.self)
                }
            }
        }
        let model: Model
    }

    public init(contentsOf url: URL) throws {
        let file = try JSONDecoder().decode(File.self, from: Data(contentsOf: url))
        vocabulary = file.model.vocab
        ranks = Dictionary(
            file.model.merges.enumerated().map { ($1.pair, $0) }, uniquingKeysWith: { old, _ in old })
        first = vocabulary["<|startoftext|>"] ?? 0
        last = vocabulary["<|endoftext|>"] ?? 0
    }

    /// BOS, at most 75 tokens, EOS, and padding to 77.
    public func framed(_ text: String, padding: Int? = nil) -> [Int32] {
        var row = [first] + ids(text).prefix(Tokenizer.length - 2) + [last]
        row += Array(repeating: padding ?? last, count: Tokenizer.length - row.count)
        return row.map(Int32.init)
    }

    /// Token ids without BOS and EOS.
    public func ids(_ text: String) -> [Int] {
        let plain = text.precomposedStringWithCanonicalMapping.lowercased()
        let pattern = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
        guard let expression = try? NSRegularExpression(pattern: pattern) else { return [] }
        let whole = NSRange(plain.startIndex..., in: plain)
        return expression.matches(in: plain, range: whole).flatMap { match -> [Int] in
            guard let range = Range(match.range, in: plain) else { return [] }
            return merged(String(plain[range])).map { vocabulary[$0] ?? last }
        }
    }

    /// The pieces of a word: its bytes, joined pair by pair, the pair that was learnt first before others.
    func merged(_ word: String) -> [String] {
        var pieces = word.utf8.map { Tokenizer.letters[Int($0)] }
        guard !pieces.isEmpty else { return [] }
        pieces[pieces.count - 1] += "</w>"
        while pieces.count > 1 {
            let pairs = zip(pieces, pieces.dropFirst()).map { "\($0) \($1)" }
            guard let best = pairs.min(by: { ranks[$0, default: .max] < ranks[$1, default: .max] }),
                ranks[best] != nil
            else { break }
            var joined: [String] = []
            var index = 0
            while index < pieces.count {
                if index < pairs.count && pairs[index] == best {
                    joined.append(pieces[index] + pieces[index + 1])
                    index += 2
                } else {
                    joined.append(pieces[index])
                    index += 1
                }
            }
            pieces = joined
        }
        return pieces
    }

    /// A printable letter for each of the 256 bytes, as GPT-2 and CLIP have them.
    static let letters: [String] = {
        let kept = Set(Array(33...126) + Array(161...172) + Array(174...255))
        var next = 256
        return (0...255).map { byte in
            if kept.contains(byte) { return String(UnicodeScalar(UInt8(byte))) }
            defer { next += 1 }
            return UnicodeScalar(UInt32(next)).map { String($0) } ?? ""
        }
    }()
}
