import CoreML
import Foundation

/// A picture: RGB, row by row.
public struct Picture {
    public let width: Int
    public let height: Int
    public let pixels: [UInt8]
}

public enum DrawingError: Error {
    case lacks(String)
}

/// Draws a prompt with the parts of an export.
public final class Drawing {
    struct Card: Decodable {
        struct Part: Decodable { let file: String }
        struct Speed: Decodable { let guidance_scale: Double }
        struct Texts: Decodable { let padding: Int }
        let size: [Int]
        let speed: Speed
        let parts: [String: Part]
        let tokenizers: [String: Texts]
        let scheduler: Schedule
    }

    let folder: URL
    let card: Card
    let sampler: Sampler
    var loaded: [String: MLModel] = [:]

    /// An export within the app, or any folder of `pokora export coreml`.
    public init(export folder: URL? = nil) throws {
        guard let place = folder ?? Bundle.module.url(forResource: "Export", withExtension: nil) else {
            throw DrawingError.lacks("Export")
        }
        self.folder = place
        card = try JSONDecoder().decode(
            Card.self, from: Data(contentsOf: place.appendingPathComponent("export.json")))
        sampler = Sampler(card.scheduler)
    }

    /// The picture of a prompt; `onStep` is told how many of the steps are done.
    public func draw(_ prompt: String, seed: UInt64, onStep: (Int, Int) -> Void = { _, _ in }) throws -> Picture {
        let (width, height) = (card.size[0], card.size[1])
        let shape = [1, 4, height / 8, width / 8]
        let count = shape.reduce(1, *)
        let scale = Float(card.speed.guidance_scale)
        let texts = try (scale > 1 ? [prompt, ""] : [prompt]).map(encoded)
        let sizes: [Float] = [height, width, 0, 0, height, width].map { Float($0) }
        var start = Noise(seed: Noise.seed(of: "[\(seed),\"keyframe\",0]"))
        var fresh = Noise(seed: Noise.seed(of: "[\(seed),\"keyframe\",0,\"steps\"]"))
        var latents = start.normal(count).map { $0 * Float(card.scheduler.init_noise_sigma) }
        let steps = card.scheduler.timesteps.count
        for step in 0..<steps {
            let shown = sampler.scaled(latents, step: step)
            let predictions = try texts.map { text in
                try run("unet", [
                    "sample": tensor(shown, shape),
                    "timestep": tensor([Float(card.scheduler.timesteps[step])], [1]),
                    "text": tensor(text.hidden, [1, Tokenizer.length, text.hidden.count / Tokenizer.length]),
                    "text_embeds": tensor(text.pooled, [1, text.pooled.count]),
                    "time_ids": tensor(sizes, [1, 6]),
                ])["prediction"] ?? []
            }
            let guided = predictions.count == 1
                ? predictions[0]
                : predictions[0].indices.map { predictions[1][$0] + scale * (predictions[0][$0] - predictions[1][$0]) }
            let last = step + 1 == steps
            let noise = sampler.drawsNoise && !last ? fresh.normal(count) : []
            latents = sampler.next(latents, prediction: guided, step: step, noise: noise)
            onStep(step + 1, steps)
        }
        let picture = try run("vae_decoder", ["latent": tensor(latents, shape)])["picture"] ?? []
        return Picture(width: width, height: height, pixels: Drawing.interleaved(picture, width * height))
    }

    /// Hidden states of all text encoders side by side, and the pooled embedding.
    func encoded(_ text: String) throws -> (hidden: [Float], pooled: [Float]) {
        var rows = [[Float]](repeating: [], count: Tokenizer.length)
        var pooled: [Float] = []
        for suffix in ["", "_2"] where card.parts["text_encoder\(suffix)"] != nil {
            let file = folder.appendingPathComponent("tokenizer\(suffix)/tokenizer.json")
            let tokenizer = try Tokenizer(contentsOf: file)
            let ids = try MLMultiArray(shape: [1, NSNumber(value: Tokenizer.length)], dataType: .int32)
            let padding = card.tokenizers["tokenizer\(suffix)"]?.padding
            for (place, id) in tokenizer.framed(text, padding: padding).enumerated() {
                ids[place] = NSNumber(value: id)
            }
            let found = try run("text_encoder\(suffix)", ["ids": ids])
            let hidden = found["hidden"] ?? []
            let width = hidden.count / Tokenizer.length
            for row in rows.indices { rows[row] += hidden[(row * width)..<((row + 1) * width)] }
            pooled = found["pooled"] ?? pooled
        }
        return (rows.flatMap { $0 }, pooled)
    }

    /// The outputs of a part; inputs that it does not take are left out.
    func run(_ part: String, _ inputs: [String: MLMultiArray]) throws -> [String: [Float]] {
        let model = try model(part)
        let taken = inputs.filter { model.modelDescription.inputDescriptionsByName[$0.key] != nil }
        let given = try MLDictionaryFeatureProvider(dictionary: taken.mapValues { MLFeatureValue(multiArray: $0) })
        let found = try model.prediction(from: given)
        var made: [String: [Float]] = [:]
        for name in found.featureNames {
            guard let array = found.featureValue(for: name)?.multiArrayValue else { continue }
            made[name] = MLShapedArray<Float>(converting: array).scalars
        }
        return made
    }

    /// A part, compiled for this device when it is first asked for.
    func model(_ part: String) throws -> MLModel {
        if let model = loaded[part] { return model }
        guard let file = card.parts[part]?.file else { throw DrawingError.lacks(part) }
        let compiled = try MLModel.compileModel(at: folder.appendingPathComponent(file))
        let model = try MLModel(contentsOf: compiled)
        loaded[part] = model
        return model
    }

    func tensor(_ numbers: [Float], _ shape: [Int]) throws -> MLMultiArray {
        MLMultiArray(MLShapedArray(scalars: numbers, shape: shape))
    }

    /// Planes in -1...1 as RGB bytes.
    static func interleaved(_ planes: [Float], _ count: Int) -> [UInt8] {
        var made = [UInt8](repeating: 255, count: 3 * count)
        for place in 0..<count {
            for channel in 0..<3 {
                let level = (planes[channel * count + place] * 127.5 + 127.5).rounded()
                made[3 * place + channel] = UInt8(max(0, min(255, level)))
            }
        }
        return made
    }
}
