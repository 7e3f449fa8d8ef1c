import XCTest

@testable import PokoraKit

/// Against numbers that Python made with transformers, diffusers and torch: vectors.json.
final class VectorTests: XCTestCase {
    struct Vectors: Decodable {
        struct Text: Decodable { let tokenizer: String; let text: String; let padding: Int; let ids: [Int32] }
        struct Step: Decodable {
            let schedule: Schedule
            let step: Int
            let latents: [Float]
            let prediction: [Float]
            let noise: [Float]
            let scaled: [Float]
            let next: [Float]
        }
        struct Drawn: Decodable { let names: String; let values: [Float] }
        let texts: [Text]
        let steps: [Step]
        let noise: [Drawn]
    }

    func vectors() throws -> Vectors {
        let url = try XCTUnwrap(Bundle.module.url(forResource: "vectors", withExtension: "json"))
        return try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: url))
    }

    func same(_ mine: [Float], _ theirs: [Float], _ accuracy: Float) {
        XCTAssertEqual(mine.count, theirs.count)
        for (one, other) in zip(mine, theirs) { XCTAssertEqual(one, other, accuracy: accuracy) }
    }

    func testTokens() throws {
        let folder = try Drawing().folder
        for one in try vectors().texts {
            let file = folder.appendingPathComponent("\(one.tokenizer)/tokenizer.json")
            XCTAssertEqual(try Tokenizer(contentsOf: file).framed(one.text, padding: one.padding), one.ids, one.text)
        }
    }

    func testSteps() throws {
        for one in try vectors().steps {
            let sampler = Sampler(one.schedule)
            same(sampler.scaled(one.latents, step: one.step), one.scaled, 1e-4)
            let next = sampler.next(one.latents, prediction: one.prediction, step: one.step, noise: one.noise)
            same(next, one.next, 1e-4)
        }
    }

    func testNoise() throws {
        for one in try vectors().noise {
            var noise = Noise(seed: Noise.seed(of: one.names))
            same(noise.normal(one.values.count), one.values, 1e-5)
        }
    }
}
