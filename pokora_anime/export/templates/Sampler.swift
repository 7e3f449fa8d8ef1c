import Foundation

/// The noise schedule of the base and the steps of its speed mode, as export.json tells them.
public struct Schedule: Decodable {
    public let beta_start: Double
    public let beta_end: Double
    public let beta_schedule: String
    public let num_train_timesteps: Int
    public let prediction_type: String
    public let sampler: String
    public let timesteps: [Double]
    public let sigmas: [Double]?
    public let init_noise_sigma: Double

    /// Cumulated alphas.
    public var alphas: [Double] {
        let rooted = beta_schedule == "scaled_linear"
        let low = rooted ? beta_start.squareRoot() : beta_start
        let high = rooted ? beta_end.squareRoot() : beta_end
        var product = 1.0
        return (0..<num_train_timesteps).map { index in
            let beta = low + (high - low) * Double(index) / Double(num_train_timesteps - 1)
            product *= 1 - (rooted ? beta * beta : beta)
            return product
        }
    }
}

/// One step of LCM (arXiv 2310.04378) or of Euler on its sigmas (arXiv 2206.00364), whichever the schedule names.
public struct Sampler {
    public let schedule: Schedule
    let alphas: [Double]

    public init(_ schedule: Schedule) {
        self.schedule = schedule
        alphas = schedule.alphas
    }

    public var drawsNoise: Bool { schedule.sampler == "lcm" }

    /// What the network is shown of latents at a step.
    public func scaled(_ latents: [Float], step: Int) -> [Float] {
        guard let sigmas = schedule.sigmas, !drawsNoise else { return latents }
        let scale = Float(1 / (sigmas[step] * sigmas[step] + 1).squareRoot())
        return latents.map { $0 * scale }
    }

    /// The latents after a step; `noise` is drawn anew for each step of LCM.
    public func next(_ latents: [Float], prediction: [Float], step: Int, noise: [Float]) -> [Float] {
        drawsNoise
            ? lcm(latents, prediction, step, noise) : euler(latents, prediction, step)
    }

    func lcm(_ latents: [Float], _ prediction: [Float], _ step: Int, _ noise: [Float]) -> [Float] {
        let timestep = schedule.timesteps[step]
        let alpha = alphas[Int(timestep)]
        let signal = Float(alpha.squareRoot())
        let spread = Float((1 - alpha).squareRoot())
        let far = (10 * timestep) * (10 * timestep) + 0.25
        let kept = Float(0.25 / far)
        let made = Float(10 * timestep / far.squareRoot())
        let ends = step + 1 == schedule.timesteps.count
        let level = ends ? 1.0 : alphas[Int(schedule.timesteps[step + 1])]
        let ahead = Float(level.squareRoot())
        let behind = Float((1 - level).squareRoot())
        return latents.indices.map { index in
            let clean =
                schedule.prediction_type == "v_prediction"
                ? signal * latents[index] - spread * prediction[index]
                : (latents[index] - spread * prediction[index]) / signal
            let denoised = made * clean + kept * latents[index]
            return ends ? denoised : ahead * denoised + behind * noise[index]
        }
    }

    func euler(_ latents: [Float], _ prediction: [Float], _ step: Int) -> [Float] {
        guard let sigmas = schedule.sigmas else { return latents }
        let sigma = Float(sigmas[step])
        let width = Float(sigmas[step + 1] - sigmas[step])
        let whole = sigma * sigma + 1
        return latents.indices.map { index in
            let clean =
                schedule.prediction_type == "v_prediction"
                ? prediction[index] * (-sigma / whole.squareRoot()) + latents[index] / whole
                : latents[index] - sigma * prediction[index]
            return latents[index] + (latents[index] - clean) / sigma * width
        }
    }
}
